package import SystemPackage

/// The one folder in which a platform keeps everything: settings, state, sockets, logs.
///
/// Two homes on one machine never touch each other: whatever is visible outside the folder (bridge, nftables table, cgroups) carries
/// ``id``.
package struct Home: Hashable, Sendable {
    package let path: FilePath

    package init(_ path: FilePath) { self.path = path.lexicallyNormalized() }

    package static let defaultPath = "/var/lib/sampan"

    /// Eight hexadecimal digits that are the same for the same path: FNV-1a, which needs no secrecy, only spread.
    package var id: String {
        let hash = path.string.utf8.reduce(UInt32(2_166_136_261)) { ($0 ^ UInt32($1)) &* 16_777_619 }
        let digits = String(hash, radix: 16)
        return String(repeating: "0", count: 8 - digits.count) + digits
    }

    // MARK: - What lies where

    package var settingsFile: FilePath { path.appending("settings.json") }
    /// Sockets and pid files; nothing in it outlives a reboot.
    package var run: FilePath { path.appending("run") }
    package var logs: FilePath { path.appending("logs") }
    package var kubernetes: FilePath { path.appending("kubernetes") }
    package var containerd: FilePath { path.appending("containerd") }
    package var network: FilePath { path.appending("cni") }
    package var node: FilePath { path.appending("node") }
    package var gateway: FilePath { path.appending("gateway") }
    package var forge: FilePath { path.appending("forge") }
    package var repositories: FilePath { path.appending("repositories") }
    package var registry: FilePath { path.appending("registry") }
    package var builder: FilePath { path.appending("builder") }
    package var pipelines: FilePath { path.appending("pipelines") }
    package var releases: FilePath { path.appending("releases") }

    package var controlSocket: FilePath { run.appending("server.sock") }
    package var gatewaySocket: FilePath { run.appending("gateway.sock") }
    package var initialPasswordFile: FilePath { path.appending("initial-root-password") }

    package func pidFile(_ program: String) -> FilePath { run.appending("\(program).pid") }
    package func logFile(_ program: String) -> FilePath { logs.appending("\(program).log") }
}
