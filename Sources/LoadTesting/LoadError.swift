import Glibc

/// Why a load test cannot start: what was written, where, and what would be right.
package struct LoadError: Error, CustomStringConvertible, Equatable {
    package let description: String

    package init(_ description: String) { self.description = description }

    init(_ action: String, errno code: Int32) {
        description = "\(action): \(String(cString: strerror(code)))"
    }
}
