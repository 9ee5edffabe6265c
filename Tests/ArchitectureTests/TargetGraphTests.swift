import Foundation
import TestKit
import Testing

/// The house rule: Forge and Traffic reach a cluster only through KubernetesClient, and Engine imports nothing above it.
struct TargetGraphTests {
    /// Which of our targets each target may depend on. Change it together with docs/architecture.md.
    private static let allowed: [String: Set<String>] = [
        "KubernetesModel": [],
        "KubernetesClient": ["KubernetesModel"],
        "APIServer": ["KubernetesModel", "KubernetesClient"],
        "Controllers": ["KubernetesModel", "KubernetesClient"],
        "Scheduler": ["KubernetesModel", "KubernetesClient"],
        "NodeAgent": ["KubernetesModel", "KubernetesClient"],
        "ServiceNetwork": ["KubernetesModel", "KubernetesClient"],
        "Git": [],
        "Review": ["Git"],
        "Registry": [],
        "Pipelines": ["Git", "Review", "KubernetesModel", "KubernetesClient"],
        "Releases": ["Git", "Review", "Pipelines", "KubernetesModel", "KubernetesClient"],
        "FlowControl": [],
        "Gateway": ["CLinux", "COpenSSL", "FlowControl", "KubernetesModel", "KubernetesClient"],
        "LoadTesting": ["CLinux", "COpenSSL"],
        "Host": ["CLinux"],
        "CLinux": [],
        "AllocationCounter": [],
        "TestKit": ["KubernetesModel", "KubernetesClient"],
    ]

    private struct Manifest: Decodable {
        struct Target: Decodable {
            let name: String
            let type: String
            let dependencies: [[String: Dependency]]
        }

        /// `["byName": ["Git", null]]` or `["product": ["GRDB", "GRDB.swift", null, null]]`
        enum Dependency: Decodable {
            case named(String)

            init(from decoder: any Decoder) throws {
                var container = try decoder.unkeyedContainer()
                self = .named(try container.decode(String.self))
            }
        }

        let targets: [Target]
    }

    @Test func everyTargetKeepsToItsAllowList() async throws {
        let manifest = try await manifest()
        let own = Set(manifest.targets.map(\.name))
        for target in manifest.targets where target.type == "regular" {
            let allowed = try #require(Self.allowed[target.name], "\(target.name) is missing from the allow-list")
            let used = Set(
                target.dependencies.flatMap(\.values).map { dependency in
                    switch dependency {
                    case .named(let name): name
                    }
                }
            ).intersection(own)
            #expect(used.subtracting(allowed).isEmpty, "\(target.name) must not depend on \(used.subtracting(allowed))")
        }
    }

    @Test func theAllowListNamesOnlyTargetsThatExist() async throws {
        let own = Set(try await manifest().targets.map(\.name))
        #expect(Set(Self.allowed.keys).subtracting(own).isEmpty)
    }

    private func manifest() async throws -> Manifest {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        // A scratch path of its own: the package's is locked while its tests run.
        let scratch = FileManager.default.temporaryDirectory.appending(
            path: "sampan-graph-\(UInt32.random(in: 0 ... .max))"
        )
        defer { try? FileManager.default.removeItem(at: scratch) }
        let text = try await Shell.run(
            "swift",
            ["package", "--package-path", root.path, "--scratch-path", scratch.path, "dump-package"]
        )
        return try JSONDecoder().decode(Manifest.self, from: Data(text.utf8))
    }
}
