import Glibc

/// Small files that only this program may read: keys, tokens, kubeconfigs.
enum PrivateFile {
    /// An error of the file system, with the path.
    struct Failure: Error, CustomStringConvertible {
        let path: String
        let action: String
        let code: CInt

        var description: String { "\(path) cannot be \(action): \(String(cString: strerror(code)))" }
    }

    /// Replaces the file as a whole and durably: after a crash there is the old content or the new one.
    static func write(_ text: String, to path: String) throws {
        let temporary = "\(path).\(getpid()).new"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw Failure(path: path, action: "written", code: errno) }
        do {
            defer { Glibc.close(descriptor) }
            try writeAll(Array(text.utf8), descriptor, path)
            guard fsync(descriptor) == 0 else { throw Failure(path: path, action: "written", code: errno) }
        } catch {
            unlink(temporary)
            throw error
        }
        guard rename(temporary, path) == 0 else { throw Failure(path: path, action: "written", code: errno) }
        try syncDirectory(of: path)
    }

    /// The content, or `nil` when there is no such file.
    static func read(_ path: String) throws -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT { return nil }
            throw Failure(path: path, action: "read", code: errno)
        }
        defer { Glibc.close(descriptor) }
        var content: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 16_384)
        while true {
            let count = Glibc.read(descriptor, &buffer, buffer.count)
            guard count >= 0 else { throw Failure(path: path, action: "read", code: errno) }
            guard count > 0 else { return String(decoding: content, as: UTF8.self) }
            content += buffer[..<count]
        }
    }

    /// Whether nobody but the owner may read or write the file.
    static func isPrivate(_ path: String) throws -> Bool {
        var status = stat()
        guard stat(path, &status) == 0 else { throw Failure(path: path, action: "inspected", code: errno) }
        return status.st_mode & 0o077 == 0
    }

    /// Makes the directory and those above it where they are missing.
    static func makeDirectory(_ path: String) throws {
        var prefix = path.hasPrefix("/") ? "" : "."
        for part in path.split(separator: "/") {
            prefix += "/\(part)"
            guard mkdir(prefix, 0o700) == 0 || errno == EEXIST else {
                throw Failure(path: prefix, action: "made", code: errno)
            }
        }
    }

    // MARK: - Private

    private static func writeAll(_ bytes: [UInt8], _ descriptor: CInt, _ path: String) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            guard count >= 0 || errno == EINTR else { throw Failure(path: path, action: "written", code: errno) }
            rest = rest.dropFirst(max(0, count))
        }
    }

    private static func syncDirectory(of path: String) throws {
        let parent = path.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
        let descriptor = open(parent.isEmpty ? "/" : parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Failure(path: parent, action: "opened", code: errno) }
        defer { Glibc.close(descriptor) }
        guard fsync(descriptor) == 0 else { throw Failure(path: parent, action: "synced", code: errno) }
    }
}
