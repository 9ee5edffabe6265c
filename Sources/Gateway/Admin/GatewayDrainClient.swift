import Foundation
import KubernetesModel

/// Asks a gateway to withdraw a pod; the gateway's half of the drain barrier seen from outside.
package struct GatewayDrainClient: Sendable {
    private let socketPath: String

    /// - Parameter socketPath: the gateway's admin socket; it need not exist yet.
    package init(socketPath: String) { self.socketPath = socketPath }

    /// Waits until the gateway sends nothing to the pod any more and everything in flight there is answered.
    /// - Parameter podUID: tells the pod from another one that gets its address later; looked up when it is not given.
    /// - Returns: `true` when nothing is in flight, also when no gateway runs; `false` when the deadline passed first.
    package func withdraw(podIP: String, podUID: String = "", deadline: Duration) async -> Bool {
        let seconds = Double(deadline.components.seconds) + Double(deadline.components.attoseconds) / 1e18
        let target = "/drain?address=\(podIP)&uid=\(podUID)&deadlineSeconds=\(max(0, seconds))"
        let path = socketPath
        return (try? await blocking { Self.isDrained(path, target, timeout: seconds + 1) }) ?? true
    }

    // MARK: - Private

    private static func isDrained(_ path: String, _ target: String, timeout: Double) -> Bool {
        guard let descriptor = UnixSocket.connect(path, timeout: timeout) else { return true }
        defer { close(descriptor) }
        let request = Array(
            "POST \(target) HTTP/1.1\r\nHost: gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".utf8
        )
        guard send(descriptor, request, request.count, Int32(MSG_NOSIGNAL)) == request.count else { return true }
        var answer: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while answer.count < 65536 {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            if count < 0 { return errno != EAGAIN }  // a gateway that died has nothing in flight
            if count == 0 { break }
            answer += buffer.prefix(count)
        }
        return !String(decoding: answer, as: UTF8.self).contains("\"drained\":false")
    }
}
