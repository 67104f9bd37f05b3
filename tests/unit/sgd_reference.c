/* SGD with momentum as a trainer in C99 writes it. */
#include <stddef.h>

void sgd_reference(float* parameters, float* velocity, const float* gradient, size_t count,
                   float rate, float momentum, float decay) {
  for (size_t i = 0; i < count; i++) {
    float change = gradient[i] + decay * parameters[i];
    velocity[i] = momentum * velocity[i] + change;
    parameters[i] = parameters[i] - rate * velocity[i];
  }
}
