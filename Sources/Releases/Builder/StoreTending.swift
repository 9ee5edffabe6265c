import Foundation
import KubernetesModel

/// Removes from a project's store what builds leave there: the containers of killed ones, and the oldest steps of the layer cache.
///
/// Must run while no build uses the store.
struct StoreTending {
    /// As many images without a name, one for each cached step of a Dockerfile, are kept.
    static let cacheLimit = 500

    let buildah: BuildahCommands

    func perform() async throws {
        if hasContainers { _ = try await buildah.removeContainers().run { _ in } }
        let excess = try Self.excess(try await buildah.images().text(limit: 16 << 20))
        // An argument list has its bounds, too.
        for start in stride(from: 0, to: excess.count, by: 1000) {
            _ = try await buildah.removeImages(Array(excess[start..<min(start + 1000, excess.count)])).run { _ in }
        }
    }

    /// containers-storage keeps the list in one file; asking buildah would take longer.
    private var hasContainers: Bool {
        let path = "\(buildah.store)/\(buildah.driver)-containers/containers.json"
        guard let list = FileManager.default.contents(atPath: path) else { return false }
        return (try? JSON(parsing: [UInt8](list)))?.array?.isEmpty == false
    }

    /// The images without a name beyond the limit, the oldest, in what `buildah images --json` prints.
    static func excess(_ list: String, limit: Int = cacheLimit) throws -> [String] {
        let unnamed = (try JSON(parsing: list).array ?? []).filter { ($0["names"]?.array ?? []).isEmpty }
        let newestFirst = unnamed.sorted { ($0["created"]?.int ?? 0) > ($1["created"]?.int ?? 0) }
        return newestFirst.dropFirst(limit).compactMap { $0["id"]?.string }
    }
}
