import CLinux

/// A socket that a worker accepts from.
struct ListeningSocket: BitwiseCopyable, Sendable {
    var descriptor: Int32
    /// Of the ``ListenAddress``; the same for all workers.
    var number: UInt32
    var door: ListenerView.Door
}

/// Where a gateway listens, as it was asked to.
struct ListenAddress: Hashable, Sendable, Codable {
    /// A numeric address.
    var host: String
    /// Zero takes a free port.
    var port: Int
    var isTLS: Bool
}

/// The sockets of one ``ListenAddress``: one for each worker, all bound to the same port with `SO_REUSEPORT`.
struct ListeningGroup: Sendable {
    let address: ListenAddress
    let number: UInt32
    let isOwn: Bool
    /// The port in use.
    let port: Int
    let descriptors: [Int32]

    var door: ListenerView.Door { .init(port: UInt16(port), isOwn: isOwn, isTLS: address.isTLS) }

    /// Binds what is not inherited.
    /// - Parameter inherited: sockets of the same address that a predecessor accepts from; all are used, whatever their number.
    init(_ address: ListenAddress, number: UInt32, isOwn: Bool, workers: Int, inherited: [Int32] = []) throws {
        var bound = clinux_address()
        guard let port = UInt16(exactly: address.port), clinux_parse_address(address.host, port, &bound) == 0 else {
            throw GatewayError(
                "cannot listen on \(address.host):\(address.port): give a numeric address and a port up to 65535"
            )
        }
        var descriptors = inherited
        if inherited.isEmpty, port != 0 {
            // Sockets that share a port would share its connections too, with whatever program that is.
            let result = clinux_probe_listening(&bound)
            guard result == 0 else {
                throw GatewayError("cannot listen on \(address.host):\(address.port)", errno: -result)
            }
        }
        if let first = inherited.first { _ = clinux_local_address(first, &bound) }
        while descriptors.count < workers {
            let descriptor = clinux_listen(&bound, 4096)
            guard descriptor >= 0 else {
                for descriptor in descriptors { _ = clinux_close(descriptor) }
                throw GatewayError("cannot listen on \(address.host):\(address.port)", errno: -descriptor)
            }
            descriptors.append(descriptor)
            _ = clinux_local_address(descriptor, &bound)  // further sockets share the port that was found
        }
        self.address = address
        self.number = number
        self.isOwn = isOwn
        self.port = Int(bound.port)
        self.descriptors = descriptors
    }
}
