import Crypto
import Foundation
import KubernetesModel

/// The image of the process that keeps a pod's namespaces: catatonit alone, taken from this machine.
enum PauseImage {
    static func archive(reference: String, executable: String = "/usr/bin/catatonit") throws -> Data {
        guard let program = FileManager.default.contents(atPath: executable) else {
            throw ContainerdError("\(executable) is missing: install the package catatonit")
        }
        var layer = TarArchive()
        layer.add("catatonit", Array(program), mode: 0o755)
        return ImageArchive(reference: reference, layer: layer, entrypoint: ["/catatonit", "-P"]).data
    }
}

/// A container image of one layer in the form of `docker save`.
struct ImageArchive {
    let reference: String
    let layer: TarArchive
    let entrypoint: [String]
    var command: [String] = []
    var environment = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]

    var data: Data {
        let layerBytes = layer.finished()
        let configuration = configuration(layerDigest: Self.digest(layerBytes)).encoded()
        let configurationName = "\(Self.digest(configuration)).json"
        let manifest: JSON = [
            [
                "Config": .string(configurationName), "RepoTags": [.string(reference)],
                "Layers": [.string("layer.tar")],
            ]
        ]
        var archive = TarArchive()
        archive.add("layer.tar", layerBytes)
        archive.add(configurationName, configuration)
        archive.add("manifest.json", manifest.encoded())
        return Data(archive.finished())
    }

    private func configuration(layerDigest: String) -> JSON {
        [
            "architecture": .string(Self.architecture), "os": "linux",
            "config": ["Entrypoint": JSON(entrypoint), "Cmd": JSON(command), "Env": JSON(environment)],
            "rootfs": ["type": "layers", "diff_ids": [.string("sha256:\(layerDigest)")]],
        ]
    }

    private static func digest(_ bytes: [UInt8]) -> String {
        SHA256.hash(data: bytes).map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    }

    /// In the words of container images.
    static var architecture: String {
        #if arch(arm64)
        "arm64"
        #else
        "amd64"
        #endif
    }
}

/// Writes POSIX ustar archives in memory.
struct TarArchive {
    private var bytes: [UInt8] = []

    mutating func add(_ path: String, _ content: [UInt8], mode: Int = 0o644) {
        appendHeader(path, size: content.count, mode: mode, type: "0")
        bytes.append(contentsOf: content)
        bytes.append(contentsOf: repeatElement(0, count: (512 - content.count % 512) % 512))
    }

    mutating func addDirectory(_ path: String, mode: Int = 0o755) {
        appendHeader("\(path)/", size: 0, mode: mode, type: "5")
    }

    mutating func addLink(_ path: String, to target: String) {
        appendHeader(path, size: 0, mode: 0o777, type: "2", link: target)
    }

    /// The archive with the two empty blocks that end it.
    func finished() -> [UInt8] { bytes + [UInt8](repeating: 0, count: 1024) }

    private mutating func appendHeader(_ path: String, size: Int, mode: Int, type: Character, link: String = "") {
        precondition(path.utf8.count <= 100 && link.utf8.count <= 100, "names in these archives have at most 100 bytes")
        var header = [UInt8](repeating: 0, count: 512)
        func put(_ text: String, at offset: Int) {
            header.replaceSubrange(offset..<offset + text.utf8.count, with: text.utf8)
        }
        func octal(_ value: Int, digits: Int) -> String {
            let text = String(value, radix: 8)
            return String(repeating: "0", count: digits - text.count) + text
        }
        put(path, at: 0)
        put(octal(mode, digits: 7), at: 100)
        put(octal(0, digits: 7), at: 108)
        put(octal(0, digits: 7), at: 116)
        put(octal(size, digits: 11), at: 124)
        put(octal(0, digits: 11), at: 136)
        put(String(repeating: " ", count: 8), at: 148)
        put(String(type), at: 156)
        put(link, at: 157)
        put("ustar\0" + "00", at: 257)
        let sum = header.reduce(0) { $0 + Int($1) }
        put(octal(sum, digits: 6) + "\0 ", at: 148)
        bytes.append(contentsOf: header)
    }
}
