#include "runtime/agreement/state_note.h"

namespace rhz {

std::string first_difference(const TensorList& here, const TensorList& members) {
  auto quoted = [](const TensorText& tensor) { return "tensor \"" + tensor.name + "\" (" + tensor.type + ")"; };
  for (size_t i = 0;; ++i) {
    const TensorText* mine = i < here.first.size() ? &here.first[i] : nullptr;
    const TensorText* theirs = i < members.first.size() ? &members.first[i] : nullptr;
    // Behind the end of a list that was cut nothing is known.
    if ((!mine && i < here.count) || (!theirs && i < members.count) || (!mine && !theirs)) return {};
    if (!theirs || (mine && mine->name < theirs->name))
      return quoted(*mine) + " is registered here, and not by the members";
    if (!mine || theirs->name < mine->name)
      return quoted(*theirs) + " is registered by the members, and not here";
    if (mine->type != theirs->type) {
      return "tensor \"" + mine->name + "\" is " + mine->type + " here, and " + theirs->type +
             " at the members";
    }
  }
}

}  // namespace rhz
