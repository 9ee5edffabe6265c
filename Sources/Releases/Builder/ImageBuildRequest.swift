import Hummingbird

/// One image to build, as `POST /projects/:id/image_builds` asks for it.
struct ImageBuildRequest: Hashable, Sendable {
    /// Below the project's repository; empty for the image of the project itself.
    var name: String
    /// The Dockerfile, relative to the context.
    var file: String
    /// The stage to build; empty for the last.
    var target: String
    /// `NAME=value`, in the order given.
    var arguments: [String]

    init(name: String = "", file: String = "Dockerfile", target: String = "", arguments: [String] = []) {
        self.name = name
        self.file = file
        self.target = target
        self.arguments = arguments
    }

    /// Reads the parameters `image`, `file`, `target` and `build_arg`.
    init(parameters: Parameters) throws {
        func text(_ name: String) -> String { parameters.get(name) ?? "" }
        self.init(
            name: text("image"),
            file: text("file").isEmpty ? "Dockerfile" : text("file"),
            target: text("target"),
            arguments: parameters.getAll("build_arg").map { String($0) }
        )
        try validate()
    }

    /// The image without tag: `group/project` or `group/project/name`.
    func repository(of project: ReleaseProject) -> String {
        name.isEmpty ? project.imageRepository : "\(project.imageRepository)/\(name)"
    }

    private func validate() throws {
        guard name.isEmpty || Self.isImageName(name) else {
            throw ReleaseError(
                "\"\(name)\" is no image name; expected lower-case letters and digits, separated by . _ - or /"
            )
        }
        guard !file.hasPrefix("/"), !file.split(separator: "/").contains("..") else {
            throw ReleaseError("--file \(file) leads out of the build context; give a path relative to it")
        }
        for argument in arguments where argument.first == "=" || argument.isEmpty {
            throw ReleaseError("--build-arg \(argument) has no name; expected NAME=VALUE")
        }
        guard arguments.count <= 100 else { throw ReleaseError("there are more than 100 build arguments") }
        guard target.utf8.allSatisfy({ $0 > 32 && $0 != 127 }), !target.hasPrefix("-") else {
            throw ReleaseError("--target \(target) is no name of a stage")
        }
    }

    private static func isImageName(_ name: String) -> Bool {
        func isAlphanumeric(_ byte: UInt8) -> Bool { (97...122).contains(byte) || (48...57).contains(byte) }
        guard name.utf8.count <= 128 else { return false }
        return name.split(separator: "/", omittingEmptySubsequences: false).allSatisfy { part in
            guard let first = part.utf8.first, let last = part.utf8.last else { return false }
            guard isAlphanumeric(first), isAlphanumeric(last), !part.contains("..") else { return false }
            return part.utf8.allSatisfy { isAlphanumeric($0) || $0 == 45 || $0 == 46 || $0 == 95 }
        }
    }
}

extension String {
    /// The text as GitLab makes a slug of it: lower case, everything but letters and digits a dash, at most 63 characters, no dash at
    /// the ends.
    var slug: String {
        let dashed = lowercased().utf8.map { byte -> Character in
            let isKept = (97...122).contains(byte) || (48...57).contains(byte)
            return isKept ? Character(UnicodeScalar(byte)) : "-"
        }
        let cut = String(dashed.prefix(63))
        return String(cut.drop { $0 == "-" }.reversed().drop { $0 == "-" }.reversed())
    }
}
