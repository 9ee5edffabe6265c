import Glibc

/// Why the gateway cannot start or do what it was asked to do.
package struct GatewayError: Error, CustomStringConvertible, Equatable {
    package let description: String

    package init(_ description: String) { self.description = description }

    init(_ action: String, errno code: Int32) {
        description = "\(action): \(String(cString: strerror(code)))"
    }
}
