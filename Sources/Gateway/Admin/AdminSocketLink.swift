import Glibc

/// The name of the admin socket: a symbolic link to the socket of the process that serves. A successor puts its own in place in one step;
/// the predecessor can still be reached by its own name.
struct AdminSocketLink: Sendable {
    let path: String
    /// Of this process.
    let own: String

    init(path: String) {
        self.path = path
        own = "\(path)-\(String(UInt16.random(in: 0 ... .max), radix: 16))"
    }

    /// The socket of the gateway that has the name now; `nil` where nothing does.
    var holder: String? {
        var buffer = [CChar](repeating: 0, count: 256)
        let count = readlink(path, &buffer, buffer.count - 1)
        guard count > 0 else { return nil }
        return String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// A gateway answers to the name.
    var isHeld: Bool {
        guard let descriptor = UnixSocket.connect(path, timeout: 1) else { return false }
        close(descriptor)
        return true
    }

    /// Removes what a gateway that was killed left behind.
    func removeDead() {
        if let holder, !isHeld { unlink(holder) }
    }

    func take() {
        let temporary = "\(own).new"
        symlink(own, temporary)
        rename(temporary, path)
    }

    /// Removes the name unless another gateway has taken it, or gives it back to the one that had it.
    func leave(to earlier: String? = nil) {
        guard holder == own else { return }
        unlink(path)
        if let earlier { symlink(earlier, path) }
    }
}
