import Foundation

/// The image that prepares and finishes jobs: a static busybox and our scripts.
package enum HelperImage {
    package struct File: Hashable, Sendable {
        /// Without a slash at the start.
        package var path: String
        package var mode: Int
        package var bytes: [UInt8]
    }

    /// Changes whenever a script does.
    package static let version = "1"

    /// The files of the image, in ascending order of their paths.
    ///
    /// - Parameter busybox: the path of a statically linked busybox on this machine.
    /// - Throws: when it cannot be read.
    package static func files(busybox: String = "/bin/busybox") throws -> [File] {
        let program = [UInt8](try Data(contentsOf: URL(filePath: busybox)))
        let scripts = [
            ("helper/build.sh", HelperScripts.build),
            ("helper/busybox", nil),
            ("helper/finish.sh", HelperScripts.http + HelperScripts.finish),
            ("helper/http.sh", HelperScripts.http),
            ("helper/prepare.sh", HelperScripts.prepare),
            ("helper/sampan", "#!/sampan/bin/busybox sh\n" + HelperScripts.sampan),
        ]
        return scripts.map { path, text in
            File(path: path, mode: 0o755, bytes: text.map { Array(($0 + "\n").utf8) } ?? program)
        }
    }
}
