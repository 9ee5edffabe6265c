import Glibc

/// What `stat` says of a path.
struct FileStatus {
    enum Kind: Hashable, Sendable { case directory, file, socket, characterDevice, blockDevice, link, other }

    let kind: Kind
    let permissions: UInt32
    let inode: UInt64

    /// `nil` when nothing is there.
    init?(_ path: String, followsLinks: Bool = true) {
        var status = stat()
        guard (followsLinks ? stat(path, &status) : lstat(path, &status)) == 0 else { return nil }
        self.init(status)
    }

    init?(descriptor: Int32) {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { return nil }
        self.init(status)
    }

    private init(_ status: stat) {
        kind =
            switch status.st_mode & S_IFMT {
            case S_IFDIR: .directory
            case S_IFREG: .file
            case S_IFSOCK: .socket
            case S_IFCHR: .characterDevice
            case S_IFBLK: .blockDevice
            case S_IFLNK: .link
            default: .other
            }
        permissions = status.st_mode & 0o7777
        inode = UInt64(status.st_ino)
    }
}
