import Foundation
import Glibc
import KubernetesModel

@testable import NodeAgent

/// A containerd of its own in a temporary home with a small bridge network, which leaves nothing behind.
final class ContainerdFixture: Sendable {
    static let image = "sampan.test/busybox:1"

    let home: String
    let identifier: String
    let configuration: ContainerdConfiguration
    private let process: Process

    private init() throws {
        identifier = String(UInt32.random(in: 0x1000_0000 ... .max), radix: 16)
        home = "/tmp/na-\(identifier)"
        try FileManager.default.createDirectory(atPath: home, withIntermediateDirectories: true)
        configuration = ContainerdConfiguration(home: home)
        try configuration.write()
        let network = "10.\(Int.random(in: 100..<250)).\(Int.random(in: 0..<256)).0/24"
        try Self.conflist(bridge: "na\(identifier)", subnet: network, home: home)
            .write(toFile: "\(home)/cni/net.d/10-test.conflist", atomically: true, encoding: .utf8)
        process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = configuration.arguments
        let log = "\(home)/containerd.log"
        try Data().write(to: URL(fileURLWithPath: log))
        let output = FileHandle(forWritingAtPath: log)
        process.standardOutput = output
        process.standardError = output
    }

    static func with<Result>(_ body: (ContainerdFixture) async throws -> Result) async throws -> Result {
        let fixture = try ContainerdFixture()
        do {
            try fixture.process.run()
            try await fixture.configuration.waitUntilReady()
            try await fixture.configuration.importPauseImage()
            try await fixture.importBusyBox()
            let result = try await body(fixture)
            fixture.tearDown()
            return result
        } catch {
            fixture.tearDown()
            throw error
        }
    }

    private func importBusyBox() async throws {
        var layer = TarArchive()
        layer.addDirectory("bin")
        let program = FileManager.default.contents(atPath: "/bin/busybox") ?? Data()
        layer.add("bin/busybox", Array(program), mode: 0o755)
        for applet in [
            "sh", "sleep", "cat", "echo", "ls", "nc", "httpd", "touch", "rm", "env", "id", "wget", "stat", "mkdir",
            "tail",
            "hostname",
            "true", "false", "date",
        ] {
            layer.addLink("bin/\(applet)", to: "/bin/busybox")
        }
        layer.addDirectory("etc")
        layer.addDirectory("tmp", mode: 0o1777)
        layer.add("etc/passwd", Array("root:x:0:0:root:/root:/bin/sh\n".utf8))
        let archive = ImageArchive(reference: Self.image, layer: layer, entrypoint: [], command: ["/bin/sh"])
        let path = "\(home)/busybox.tar"
        try archive.data.write(to: URL(fileURLWithPath: path))
        try await configuration.importImage(archivePath: path)
    }

    private static func conflist(bridge: String, subnet: String, home: String) -> String {
        let list: JSON = [
            "cniVersion": "0.4.0", "name": .string(bridge),
            "plugins": [
                [
                    "type": "bridge", "bridge": .string(bridge), "isGateway": true, "ipMasq": false,
                    "ipam": [
                        "type": "host-local", "subnet": .string(subnet), "dataDir": .string("\(home)/cni/state"),
                        "routes": [["dst": "0.0.0.0/0"]],
                    ],
                ]
            ],
        ]
        return list.prettyString
    }

    // MARK: - Private

    private func tearDown() {
        process.terminate()
        // Shims of pods that were left hold the pipe by which the end of their parent is seen.
        while !shims().isEmpty {
            for shim in shims() { kill(shim, SIGKILL) }
            usleep(20_000)
        }
        process.waitUntilExit()
        usleep(100_000)
        unmountAll()
        let link = Process()
        link.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        link.arguments = ["ip", "link", "delete", "na\(identifier)"]
        link.standardError = FileHandle.nullDevice
        if (try? link.run()) != nil { link.waitUntilExit() }
        CgroupTree(identifier: identifier).remove()
        try? FileManager.default.removeItem(atPath: home)
    }

    /// The shims of this home and what runs below them: their command lines or folders name the home.
    func shims() -> [pid_t] {
        let entries = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return entries.compactMap(pid_t.init).filter { pid in
            let commandLine = FileManager.default.contents(atPath: "/proc/\(pid)/cmdline") ?? Data()
            let text = String(decoding: commandLine, as: UTF8.self)
            return text.contains("containerd-shim") && text.contains(configuration.socketPath)
        }
    }

    func controlGroups() -> [String] {
        let hierarchies = (try? FileManager.default.contentsOfDirectory(atPath: CgroupTree.root)) ?? []
        let paths = (hierarchies.map { "\(CgroupTree.root)/\($0)" } + [CgroupTree.root]).map {
            "\($0)/sampan-\(identifier)"
        }
        return paths.filter { FileManager.default.fileExists(atPath: $0) }
    }

    func mounts() -> [String] {
        MountTable.mounts(below: home)
    }

    private func unmountAll() {
        for mount in mounts() { umount2(mount, Int32(MNT_DETACH)) }
    }
}
