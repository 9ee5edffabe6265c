import Foundation
import SystemPackage
import Testing

@testable import Host

struct PreflightTests {
    @Test func saysWhichPortIsTakenAndWhichOptionMovesIt() throws {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(listener) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let port = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { raw -> Int in
                _ = bind(listener, raw, length)
                _ = listen(listener, 1)
                _ = getsockname(listener, raw, &length)
                return Int(UInt16(bigEndian: pointer.pointee.sin_port))
            }
        }
        var settings = Settings()
        settings.webPort = port
        let findings = Preflight(home: Home("/tmp"), settings: settings).inspect(includingPorts: true)
        let finding = try #require(findings.first { $0.check == "port \(port)" })
        #expect(finding.severity == .error)
        #expect(finding.remedy.contains("--web-port"))
    }

    @Test(arguments: [
        (
            #"Client Version: version.Info{Major:"1", Minor:"20", GitVersion:"v1.20.2", GitCommit:""}"#, "warning",
            "v1.20.2 is"
        ),
        ("Client Version: v1.26.15\nKustomize Version: v4.5.7", "warning", "v1.26.15 is older than 1.27"),
        ("Client Version: v1.27.0\nKustomize Version: v5.0.1", "ok", "v1.27.0"),
        ("Client Version: v1.36.3", "ok", "v1.36.3"), ("", "ok", "installed"), (nil, "ok", "not installed"),
    ])
    func warnsOfAnOldKubectl(_ version: String?, _ severity: String, _ message: String) {
        let finding = Preflight.kubectl(version: version)
        #expect(finding.severity.rawValue == severity)
        #expect(finding.message.hasPrefix(message), "\(finding.message)")
        #expect(finding.remedy.isEmpty == (severity == "ok"))
    }

    @Test func everyFindingThatIsNotFineSaysWhatToDo() {
        let findings = Preflight(home: Home("/tmp"), settings: Settings()).inspect(includingPorts: true)
        #expect(findings.allSatisfy { ($0.severity == .ok) == $0.remedy.isEmpty })
    }
}
