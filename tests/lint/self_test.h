// Plants violations of every rule in small trees and checks that they are found, and nothing else
// is.
#pragma once

namespace rhz::lint {

// Prints what fails.  True: all is well.
bool self_test();

}  // namespace rhz::lint
