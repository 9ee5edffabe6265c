import KubernetesModel

/// The `/etc/hosts` of a pod.
enum HostsFile {
    static func text(for pod: Pod, addresses: [String], hostName: String, domain: String) -> String {
        var lines = [
            "# Kubernetes-managed hosts file.", "127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback",
            "fe00::0\tip6-localnet", "fe00::0\tip6-mcastprefix", "fe00::1\tip6-allnodes", "fe00::2\tip6-allrouters",
        ]
        let names = [qualifiedName(of: pod, hostName: hostName, domain: domain), hostName].compactMap { $0 }
        lines += addresses.map { "\($0)\t\(names.joined(separator: "\t"))" }
        for alias in pod.spec["hostAliases"]?.array ?? [] {
            let aliases = alias["hostnames"]?.array?.compactMap(\.string) ?? []
            lines.append("\(alias["ip"]?.string ?? "")\t\(aliases.joined(separator: "\t"))")
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// Pods with a subdomain have a name in the cluster's domain.
    private static func qualifiedName(of pod: Pod, hostName: String, domain: String) -> String? {
        pod.spec["subdomain"]?.string.map { "\(hostName).\($0).\(pod.namespace).svc.\(domain)" }
    }
}

extension SandboxSpecification.DNS {
    /// What a pod's `dnsPolicy` and `dnsConfig` ask for.
    ///
    /// - Parameter host: the node's own `resolv.conf`
    init(for pod: Pod, clusterAddress: String?, domain: String, host: SandboxSpecification.DNS) {
        let policy = pod.spec["dnsPolicy"]?.string ?? "ClusterFirst"
        let usesCluster =
            policy == "ClusterFirstWithHostNet" || (policy == "ClusterFirst" && !pod.namespaces.usesHostNetwork)
        if policy == "None" {
            self.init()
        } else if usesCluster, let clusterAddress {
            let searches = ["\(pod.namespace).svc.\(domain)", "svc.\(domain)", domain] + host.searches
            self.init(servers: [clusterAddress], searches: searches, options: ["ndots:5"])
        } else {
            self = host
        }
        add(pod.spec["dnsConfig"])
    }

    private mutating func add(_ configuration: JSON?) {
        guard let configuration else { return }
        servers = Self.unique(servers + (configuration["nameservers"]?.array?.compactMap(\.string) ?? []))
        searches = Self.unique(searches + (configuration["searches"]?.array?.compactMap(\.string) ?? []))
        for option in configuration["options"]?.array ?? [] {
            let name = option["name"]?.string ?? ""
            options.removeAll { $0 == name || $0.hasPrefix("\(name):") }
            options.append(option["value"]?.string.map { "\(name):\($0)" } ?? name)
        }
    }

    /// Reads the text of a `resolv.conf`.
    init(resolverConfiguration text: String) {
        self.init()
        for line in text.split(separator: "\n") {
            let words = line.split(whereSeparator: \.isWhitespace).map(String.init)
            switch words.first {
            case "nameserver": servers += words.dropFirst().prefix(1)
            case "search", "domain": searches = Array(words.dropFirst())
            case "options": options += words.dropFirst()
            default: break
            }
        }
    }

    private static func unique(_ list: [String]) -> [String] {
        var seen: Set<String> = []
        return list.filter { seen.insert($0).inserted }
    }
}
