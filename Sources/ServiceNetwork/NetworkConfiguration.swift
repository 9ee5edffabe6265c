package import SystemPackage

/// The addresses and names of one home's network; everything visible outside its folder carries ``id``.
package struct NetworkConfiguration: Hashable, Sendable {
    /// Eight characters that no other home on the machine uses.
    package let id: String
    package let podNetwork: IPv4Network
    package let serviceNetwork: IPv4Network
    package let directory: FilePath
    /// Where the API server listens for pods; see ``apiServiceAddress``.
    package var apiPort: Int
    package var clusterDomain = "cluster.local"

    package init(id: String, podNetwork: IPv4Network, serviceNetwork: IPv4Network, directory: FilePath, apiPort: Int) {
        precondition(id.utf8.count <= 8, "Interface names hold fifteen characters, eight of them for the id.")
        self.id = id
        self.podNetwork = podNetwork
        self.serviceNetwork = serviceNetwork
        self.directory = directory
        self.apiPort = apiPort
    }

    package var bridge: String { "sampan-\(id)" }
    package var table: String { "sampan-\(id)" }
    /// The machine's own address in the pod network, on the bridge.
    package var gatewayAddress: IPv4Address { podNetwork.address(1) }
    /// The service `kubernetes` in the namespace `default`.
    package var apiServiceAddress: IPv4Address { serviceNetwork.address(1) }
    /// The cluster's name server, as pods find it in their resolv.conf.
    package var dnsServiceAddress: IPv4Address { serviceNetwork.address(10) }

    package var cniConfigurationDirectory: FilePath { directory.appending("net.d") }
    package var addressDirectory: FilePath { directory.appending("addresses") }

    /// The CNI network list: a bridge with host-local addresses, and host ports.
    package var cniNetworkList: String {
        """
        {
          "cniVersion": "0.4.0",
          "name": "\(bridge)",
          "plugins": [
            {
              "type": "bridge",
              "bridge": "\(bridge)",
              "isGateway": true,
              "isDefaultGateway": true,
              "hairpinMode": true,
              "ipMasq": false,
              "ipam": {
                "type": "host-local",
                "dataDir": "\(addressDirectory)",
                "ranges": [[{ "subnet": "\(podNetwork)", "gateway": "\(gatewayAddress)" }]]
              }
            },
            { "type": "portmap", "capabilities": { "portMappings": true } }
          ]
        }
        """
    }
}
