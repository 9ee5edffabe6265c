import Foundation
import Glibc

/// Finds out whether the file system of a directory can carry overlay mounts, by making one.
enum OverlayProbe {
    static func works(in directory: String) -> Bool {
        let probe = "\(directory)/overlay-probe-\(getpid())-\(UInt32.random(in: .min ... .max))"
        defer { try? FileManager.default.removeItem(atPath: probe) }
        do {
            for name in ["lower", "upper", "work", "merged"] {
                try FileManager.default.createDirectory(atPath: "\(probe)/\(name)", withIntermediateDirectories: true)
            }
        } catch {
            return false
        }
        let options = "lowerdir=\(probe)/lower,upperdir=\(probe)/upper,workdir=\(probe)/work"
        guard mount("overlay", "\(probe)/merged", "overlay", 0, options) == 0 else { return false }
        umount2("\(probe)/merged", Int32(MNT_DETACH))
        return true
    }
}

/// The capabilities that this process has in effect.
struct ProcessCapabilities: OptionSet, Sendable {
    let rawValue: UInt64

    static let systemAdministration = ProcessCapabilities(rawValue: 1 << 21)
    static let systemResource = ProcessCapabilities(rawValue: 1 << 24)

    static var current: ProcessCapabilities {
        let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
        let line = status.split(separator: "\n").first { $0.hasPrefix("CapEff:") }
        let digits = line?.split(whereSeparator: \.isWhitespace).last ?? "0"
        return ProcessCapabilities(rawValue: UInt64(digits, radix: 16) ?? 0)
    }
}
