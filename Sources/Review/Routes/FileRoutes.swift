import Crypto
import Foundation
import Git
import HTTPTypes
import Hummingbird
import NIOCore

extension ForgeRoutes {
    func addFileRoutes(to router: some RouterMethods) {
        router.api(.get, "/projects/:id/repository/tree", web) { call in
            let project = try await call.project(requiring: .readCode)
            let repository = try call.forge.repository(of: project)
            guard try await !repository.isEmpty() else { throw GitLabError.notFound("Tree") }
            do {
                let entries = try await repository.tree(
                    at: try call.fields.string("ref") ?? project.defaultBranch,
                    path: try call.fields.string("path") ?? "",
                    recursive: try call.fields.bool("recursive") ?? false
                )
                return try call.page(entries) { TreeEntity($0) }
            } catch let error as GitError where error.code == .notFound {
                throw GitLabError(.notFound, "404 Tree Not Found: \(error.message)")
            }
        }
        router.api(.get, "/projects/:id/repository/files/:file_path", web) { call in
            APIResponse(try await Self.file(call))
        }
        router.api(.get, "/projects/:id/repository/files/:file_path/raw", web) { call in
            let project = try await call.project(requiring: .readCode)
            let blob = try await Self.blob(call, of: project)
            return bytes(
                blob.bytes,
                type: "application/octet-stream",
                name: (try call.parameter("file_path") as NSString).lastPathComponent
            )
        }
        router.api(.get, "/projects/:id/repository/blobs/:sha/raw", web) { call in
            let project = try await call.project(requiring: .readCode)
            let id = try call.parameter("sha")
            let content = try await call.forge.repository(of: project).blob(id: id)
            return bytes(content, type: "application/octet-stream", name: id)
        }
        addFileChangeRoutes(to: router)
        addArchiveRoutes(to: router)
    }

    private func addFileChangeRoutes(to router: some RouterMethods) {
        let verbs: [(HTTPRequest.Method, CommitAction.Kind)] = [(.post, .create), (.put, .update), (.delete, .delete)]
        for (method, kind) in verbs {
            let path = "/projects/:id/repository/files/:file_path"
            router.api(method, path, web, bodyLimit: Self.commitBodyLimit) { call in
                let project = try await call.project(requiring: .writeCode)
                let change = try await Self.change(kind, call, project)
                guard kind != .delete else { return Response(status: .noContent) }
                let status: HTTPResponse.Status = kind == .create ? .created : .ok
                return try APIResponse(change, status: status).plainResponse()
            }
        }
    }

    private func addArchiveRoutes(to router: some RouterMethods) {
        let endings: [(String, Repository.ArchiveFormat)] = [
            ("archive", .tarGzip), ("archive.tar.gz", .tarGzip), ("archive.tar", .tar), ("archive.zip", .zip),
        ]
        for (ending, format) in endings {
            router.api(.get, "/projects/:id/repository/\(ending)", web) { call in
                let project = try await call.project(requiring: .readCode)
                let revision = try call.fields.string("sha") ?? project.defaultBranch
                let repository = try call.forge.repository(of: project)
                let commit = try await repository.resolve(revision)
                let prefix = "\(project.path)-\(revision.replacingOccurrences(of: "/", with: "-"))-\(commit)"
                let content = try await repository.archive(commit, format: format, prefix: prefix)
                return bytes(content, type: "application/octet-stream", name: "\(prefix).\(format.rawValue)")
            }
        }
    }

    // MARK: - Private

    private struct FileChange: Encodable {
        let filePath: String
        let branch: String
    }

    private static func change(
        _ kind: CommitAction.Kind,
        _ call: APICall,
        _ project: Project
    ) async throws -> FileChange {
        let user = try call.requireUser()
        let path = try call.parameter("file_path")
        let branch = try call.fields.required("branch")
        let content = try content(call.fields)
        if kind != .delete && content == nil { throw GitLabError.badParameter("content", "is missing") }
        let action = CommitAction(
            kind,
            path,
            content: kind == .delete ? nil : content,
            isExecutable: try call.fields.bool("execute_filemode"),
            lastCommitID: try call.fields.string("last_commit_id")
        )
        let message = try call.fields.required("commit_message")
        try await commit(actions: [action], message: message, to: branch, in: project, by: user, call)
        return FileChange(filePath: path, branch: branch)
    }

    private static func blob(_ call: APICall, of project: Project) async throws -> Blob {
        let path = try call.parameter("file_path")
        let ref = try call.fields.string("ref") ?? project.defaultBranch
        do {
            return try await call.forge.repository(of: project).blob(path, at: ref)
        } catch let error as GitError where error.code == .notFound {
            throw GitLabError(.notFound, "404 File Not Found")
        }
    }

    private static func file(_ call: APICall) async throws -> FileEntity {
        let project = try await call.project(requiring: .readCode)
        let path = try call.parameter("file_path")
        let ref = try call.fields.string("ref") ?? project.defaultBranch
        let repository = try call.forge.repository(of: project)
        let blob = try await blob(call, of: project)
        let commit = try await repository.resolve(ref)
        return FileEntity(
            fileName: (path as NSString).lastPathComponent,
            filePath: path,
            size: blob.bytes.count,
            contentSHA256: SHA256.hash(data: blob.bytes).map { byte in
                let digits = String(byte, radix: 16)
                return digits.count < 2 ? "0" + digits : digits
            }.joined(),
            ref: ref,
            blobID: blob.id,
            commitID: commit,
            lastCommitID: try await repository.lastCommit(of: path, at: commit)?.id ?? commit,
            executeFilemode: blob.mode == "100755",
            content: Data(blob.bytes).base64EncodedString()
        )
    }
}

private func bytes(_ content: [UInt8], type: String, name: String) -> Response {
    let safeName = name.filter { $0.isASCII && ($0.isLetter || $0.isNumber || "._-".contains($0)) }
    return Response(
        status: .ok,
        headers: [
            .contentType: type, .contentDisposition: "attachment; filename=\"\(safeName)\"",
            .xContentTypeOptions: "nosniff",
        ],
        body: ResponseBody(byteBuffer: ByteBuffer(bytes: content))
    )
}
