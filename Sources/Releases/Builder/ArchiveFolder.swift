import Glibc
import NIOCore
import NIOPosix
import SystemPackage

/// A folder that is filled from a tar archive sent by a client: it arrives in a file, is unpressed and unpacked within bounds.
///
/// Nothing is ever written outside the folder: paths are checked, and no member may lie behind a link of the archive.
struct ArchiveFolder: Sendable {
    struct Limits: Hashable, Sendable {
        /// Bytes on the wire.
        var received: Int
        /// Bytes of the tar archive itself.
        var unpacked: Int

        static let buildContext = Limits(received: 2 << 30, unpacked: 8 << 30)
        static let manifests = Limits(received: 8 << 20, unpacked: 32 << 20)
    }

    /// The unpacked files are below `<workspace>/files`.
    let workspace: FilePath
    let limits: Limits

    var files: FilePath { workspace.appending("files") }

    /// Receives and unpacks the archive; answers with the number of bytes received. An empty body is an empty folder.
    @discardableResult
    func fill(from body: some AsyncSequence<ByteBuffer, any Error>) async throws -> Int {
        let received = workspace.appending("received")
        let size = try await receive(body, to: received)
        let archive = try await isGzip(received) ? try await decompress(received) : received
        try await Self.blocking { [self] in try unpack(archive) }
        unlink(received.string)
        unlink(archive.string)
        return size
    }

    // MARK: - Private

    private func receive(_ body: some AsyncSequence<ByteBuffer, any Error>, to path: FilePath) async throws -> Int {
        let file = try SystemPackage.FileDescriptor.open(
            path,
            .writeOnly,
            options: [.create, .truncate],
            permissions: .ownerReadWrite
        )
        defer { try? file.close() }
        var size = 0
        for try await part in body {
            size += part.readableBytes
            guard size <= limits.received else {
                throw ReleaseError(
                    "the archive has more than \(limits.received >> 20) MiB; leave files out with .dockerignore"
                )
            }
            try await Self.blocking { _ = try part.withUnsafeReadableBytes { try file.writeAll($0) } }
        }
        return size
    }

    private func isGzip(_ path: FilePath) async throws -> Bool {
        try await Self.blocking {
            let file = try SystemPackage.FileDescriptor.open(path, .readOnly)
            return try file.closeAfter {
                try withUnsafeTemporaryAllocation(byteCount: 2, alignment: 1) { buffer in
                    try file.read(into: buffer) == 2 && buffer[0] == 0x1F && buffer[1] == 0x8B
                }
            }
        }
    }

    private func decompress(_ path: FilePath) async throws -> FilePath {
        let archive = workspace.appending("archive.tar")
        let input = try SystemPackage.FileDescriptor.open(path, .readOnly)
        defer { try? input.close() }
        let output = try SystemPackage.FileDescriptor.open(
            archive,
            .writeOnly,
            options: [.create, .truncate],
            permissions: .ownerReadWrite
        )
        defer { try? output.close() }
        let gzip = HostProgram(name: "prlimit", arguments: ["--fsize=\(limits.unpacked)", "gzip", "-dc"])
        switch try await gzip.run(from: input, to: output) {
        case 0: return archive
        case 128 + Int(SIGXFSZ): throw ReleaseError("the archive unpacks to more than \(limits.unpacked >> 20) MiB")
        default: throw ReleaseError("the archive is not whole: gzip cannot unpack it")
        }
    }

    private func unpack(_ archive: FilePath) throws {
        mkdir(files.string, 0o755)
        let file = try SystemPackage.FileDescriptor.open(archive, .readOnly)
        defer { try? file.close() }
        var writer = ArchiveWriter(root: files)
        defer { writer.closeFile() }
        var reader = TarReader()
        var chunk = [UInt8](repeating: 0, count: 256 << 10)
        while case let count = try chunk.withUnsafeMutableBytes({ try file.read(into: $0) }), count > 0 {
            try reader.read(chunk[..<count]) { try writer.handle($0) }
        }
        try reader.finish()
    }

    static func blocking<Value: Sendable>(_ work: @escaping @Sendable () throws -> Value) async throws -> Value {
        try await NIOThreadPool.singleton.runIfActive(work)
    }
}

/// Writes the members of an archive below a root that was empty before.
private struct ArchiveWriter {
    let root: FilePath
    private var links: Set<String> = []
    private var file: SystemPackage.FileDescriptor?

    init(root: FilePath) {
        self.root = root
    }

    mutating func handle(_ event: TarReader.Event) throws {
        switch event {
        case .entry(let entry): try write(entry)
        case .content(let bytes): _ = try bytes.withUnsafeBytes { try file?.writeAll($0) }
        }
    }

    mutating func closeFile() {
        try? file?.close()
        file = nil
    }

    private mutating func write(_ entry: TarEntry) throws {
        closeFile()
        guard !entry.path.isEmpty else { return }
        try refusePathBehindLink(entry.path)
        let path = root.pushing(FilePath(entry.path))
        try makeFolder(path.removingLastComponent())
        switch entry.kind {
        case .folder: try makeFolder(path)
        case .file: file = try open(path, mode: entry.mode)
        case .symbolicLink(let target):
            unlink(path.string)
            try check(symlink(target, path.string))
            links.insert(entry.path)
        case .hardLink(let target):
            try refusePathBehindLink(target)
            unlink(path.string)
            try check(link(root.pushing(FilePath(target)).string, path.string))
            if links.contains(target) { links.insert(entry.path) }
        }
    }

    /// Opens the file anew: what was there, be it a link, goes away first.
    private mutating func open(_ path: FilePath, mode: Int) throws -> SystemPackage.FileDescriptor {
        unlink(path.string)
        let file = try SystemPackage.FileDescriptor.open(
            path,
            .writeOnly,
            options: [.create, .exclusiveCreate, .noFollow],
            permissions: .ownerReadWrite
        )
        try check(fchmod(file.rawValue, mode_t(mode)))
        return file
    }

    private func refusePathBehindLink(_ path: String) throws {
        var parent = path[...]
        while let slash = parent.lastIndex(of: "/") {
            parent = parent[..<slash]
            guard !links.contains(String(parent)) else {
                throw TarError(description: "\"\(path)\" lies behind the link \"\(parent)\" of the archive")
            }
        }
    }

    private func makeFolder(_ path: FilePath) throws {
        guard path.starts(with: root), path != root, access(path.string, F_OK) != 0 else { return }
        try makeFolder(path.removingLastComponent())
        guard mkdir(path.string, 0o755) == 0 || errno == EEXIST else { throw Errno(rawValue: errno) }
    }

    private func check(_ result: CInt) throws {
        guard result == 0 else { throw Errno(rawValue: errno) }
    }
}
