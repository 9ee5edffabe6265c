import Foundation
import KubernetesModel

/// The last objects that a table was compiled from, so that a gateway that starts while the cluster is away serves at once.
struct SnapshotFile: Sendable {
    let path: String

    /// `nil` when there is no file.
    func load() throws -> GatewayObjects? {
        guard let data = FileManager.default.contents(atPath: path) else { return nil }
        return GatewayObjects(try JSON(parsing: [UInt8](data)))
    }

    /// Replaces the file in one step: a temporary file, synced, then renamed. Blocks.
    func save(_ objects: GatewayObjects) throws {
        // At a hand-over two processes may save at the same time.
        let temporary = "\(path).\(getpid()).new"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw GatewayError("cannot write \(temporary)", errno: errno) }
        let bytes = objects.json.encoded()
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress! + written, bytes.count - written) }
            guard count > 0 else {
                let code = errno
                close(descriptor)
                throw GatewayError("cannot write \(temporary)", errno: code)
            }
            written += count
        }
        let isSynced = fsync(descriptor) == 0
        close(descriptor)
        guard isSynced, rename(temporary, path) == 0 else { throw GatewayError("cannot write \(path)", errno: errno) }
        syncFolder()
    }

    private func syncFolder() {
        let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
        let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        fsync(descriptor)
        close(descriptor)
    }
}

/// Runs work that blocks on a thread of its own, away from the cooperative ones.
func blocking<Value: Sendable>(_ work: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
        Thread.detachNewThread { continuation.resume(with: Result { try work() }) }
    }
}
