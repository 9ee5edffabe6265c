import Foundation
import Glibc

/// The mounts of this machine, as far as the node agent makes them.
enum MountTable {
    /// Mounts an empty tmpfs unless one is there.
    ///
    /// - Parameter size: in bytes, no bound but the memory's when `nil`
    static func mountMemory(at path: String, size: Int?) throws {
        guard !isMounted(path) else { return }
        let options = size.map { "size=\($0)" } ?? ""
        guard mount("tmpfs", path, "tmpfs", 0, options) == 0 else { throw FileError(path) }
    }

    static func isMounted(_ path: String) -> Bool { mounts(below: path).contains(path) }

    /// The mount points at or below `path`, deepest first.
    static func mounts(below path: String) -> [String] {
        let points = lines().compactMap { line -> String? in
            let fields = line.split(separator: " ")
            return fields.count > 4 ? unescaped(fields[4]) : nil
        }
        return points.filter { $0 == path || $0.hasPrefix("\(path)/") }.reversed()
    }

    static func unmountAll(below path: String) {
        for point in mounts(below: path) { umount2(point, Int32(MNT_DETACH)) }
    }

    /// Read to the end by hand: Foundation takes the first short read of a file without a size for its end, which here is one page.
    private static func lines() -> [String] {
        guard let file = fopen("/proc/self/mountinfo", "re") else { return [] }
        var line: UnsafeMutablePointer<CChar>?
        var capacity = 0
        defer {
            free(line)
            fclose(file)
        }
        var lines: [String] = []
        while getline(&line, &capacity, file) > 0, let line { lines.append(String(cString: line)) }
        return lines
    }

    /// Spaces and the like are written as three octal digits.
    private static func unescaped(_ field: Substring) -> String {
        guard field.contains("\\") else { return String(field) }
        return ["\\040": " ", "\\011": "\t", "\\012": "\n", "\\134": "\\"].reduce(String(field)) { text, escape in
            text.replacingOccurrences(of: escape.key, with: escape.value)
        }
    }
}
