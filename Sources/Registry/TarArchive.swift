/// A file of an image that is made from memory.
package struct ImageFile: Hashable, Sendable {
    package enum Content: Hashable, Sendable {
        case file([UInt8])
        case folder
        case symbolicLink(to: String)
    }

    /// Relative to the image's root, such as `bin/busybox`; at most 100 bytes.
    package var path: String
    /// The permission bits.
    package var mode: Int
    package var content: Content

    package init(path: String, mode: Int = 0o644, content: Content) {
        self.path = path
        self.mode = mode
        self.content = content
    }
}

/// Writes POSIX ustar archives that depend on nothing but their files: no times, owners or order of discovery.
struct TarArchive {
    private(set) var bytes: [UInt8] = []

    init(_ files: [ImageFile]) {
        for file in files.sorted(by: { $0.path < $1.path }) { append(file) }
        bytes.append(contentsOf: [UInt8](repeating: 0, count: 1024))
    }

    private mutating func append(_ file: ImageFile) {
        precondition(file.path.utf8.count <= 99, "A file of a made image has a path of at most 99 bytes.")
        switch file.content {
        case .file(let content):
            appendHeader(file.path, mode: file.mode, size: content.count, type: "0")
            bytes.append(contentsOf: content)
            bytes.append(contentsOf: [UInt8](repeating: 0, count: (512 - content.count % 512) % 512))
        case .folder: appendHeader(file.path + "/", mode: file.mode, size: 0, type: "5")
        case .symbolicLink(let target): appendHeader(file.path, mode: 0o777, size: 0, type: "2", link: target)
        }
    }

    private mutating func appendHeader(_ path: String, mode: Int, size: Int, type: Character, link: String = "") {
        var header = [UInt8](repeating: 0, count: 512)
        func put(_ text: String, at offset: Int) {
            header.replaceSubrange(offset..<(offset + text.utf8.count), with: text.utf8)
        }
        func octal(_ value: Int, width: Int) -> String {
            let digits = String(value, radix: 8)
            return String(repeating: "0", count: width - digits.count) + digits
        }
        put(path, at: 0)
        put(octal(mode, width: 7), at: 100)
        put(octal(0, width: 7), at: 108)
        put(octal(0, width: 7), at: 116)
        put(octal(size, width: 11), at: 124)
        put(octal(0, width: 11), at: 136)
        put("        ", at: 148)
        put(String(type), at: 156)
        put(link, at: 157)
        put("ustar\u{0}00", at: 257)
        let checksum = header.reduce(0) { $0 + Int($1) }
        put(octal(checksum, width: 6) + "\u{0} ", at: 148)
        bytes.append(contentsOf: header)
    }
}
