import Foundation
import Hummingbird
import Logging
import NIOCore

/// Takes a push: reads what it wants, asks the policy, runs `git receive-pack`, tells the observers what moved.
///
/// The new objects stay in git's quarantine until pre-receive passed; a client that goes away, a full disk or a kill in the
/// middle leave the repository as it was.
struct PushReceiver: Sendable {
    let store: RepositoryStore
    let policy: any PushPolicy
    let observer: any PushObserver
    let logger: Logger

    @concurrent
    func receive(
        _ body: BodyReader,
        _ session: SmartHTTP.Session,
        writingTo writer: inout any ResponseBodyWriter
    ) async throws {
        guard let request = try await body.peek(limit: PushRequest.limit, PushRequest.parse) else {
            throw GitError(.invalid, "the push ended before it said what to move")
        }
        let receipt = "\(store.root)/tmp/\(UUID().uuidString).receipt"
        defer { try? FileManager.default.removeItem(atPath: receipt) }
        let environment = await environment(for: request, session, receipt: receipt)
        let arguments = ["receive-pack", "--stateless-rpc", session.repository.path]
        let configuration = session.configuration("git", arguments, for: .receivePack, environment: environment)
        let process = GitStream(configuration: configuration, input: body, lostClient: .letFinish)
        do {
            let outcome = try await process.run(writingTo: &writer)
            await announce(request, session, receipt: receipt)
            try await explain(outcome, request, writingTo: &writer)
        } catch {
            // The client is gone, but references may have moved before it went.
            await announce(request, session, receipt: receipt)
            throw error
        }
    }

    // MARK: - Private

    private func environment(
        for request: PushRequest,
        _ session: SmartHTTP.Session,
        receipt: String
    ) async -> [String: String] {
        var environment = [
            ReceiveHook.receipt: receipt,
            "GIT_COMMITTER_NAME": session.username,
            "GIT_COMMITTER_EMAIL": "\(session.username)@sampan.invalid",
        ]
        switch await verdict(on: request, session) {
        case .accept(let fastForwardOnly):
            environment[ReceiveHook.fastForwardOnly] = fastForwardOnly.sorted().joined(separator: "\n")
        case .reject(let message):
            environment[ReceiveHook.refusal] = message
        }
        return environment
    }

    private func verdict(on request: PushRequest, _ session: SmartHTTP.Session) async -> PushVerdict {
        let push = ProposedPush(
            projectID: session.repository.projectID,
            userID: session.userID,
            updates: request.updates,
            options: request.options
        )
        do {
            return try await policy.verdict(on: push)
        } catch {
            logger.error("the push policy failed", metadata: ["project": "\(push.projectID)", "error": "\(error)"])
            return .reject(message: "The rules for this push could not be checked. Please try again.")
        }
    }

    /// Tells the observers, even when the task that serves the request was cancelled meanwhile.
    private func announce(_ request: PushRequest, _ session: SmartHTTP.Session, receipt: String) async {
        // Unstructured on purpose: what moved must be told whether or not the client still listens. It is awaited.
        await Task {
            for update in await moved(request, session.repository, receipt: receipt) {
                logger.info(
                    "reference moved",
                    metadata: [
                        "project": "\(session.repository.projectID)", "ref": "\(update.ref)",
                        "before": "\(update.before)", "after": "\(update.after)", "user": "\(session.username)",
                    ]
                )
                await observer.pushed(
                    PushEvent(
                        projectID: session.repository.projectID,
                        ref: update.ref,
                        before: update.before,
                        after: update.after,
                        userID: session.userID,
                        username: session.username,
                        options: request.options
                    )
                )
            }
        }.value
    }

    /// What moved: as post-receive wrote it, or, when git died before it could, what the repository shows.
    private func moved(
        _ request: PushRequest,
        _ repository: Repository,
        receipt: String
    ) async
        -> [ProposedPush.Update]
    {
        if let text = FileManager.default.contents(atPath: receipt) {
            return String(decoding: text, as: UTF8.self).split(separator: "\n").compactMap { line in
                let words = line.split(separator: " ", maxSplits: 2).map(String.init)
                guard words.count == 3 else { return nil }
                return ProposedPush.Update(ref: words[2], before: words[0], after: words[1])
            }
        }
        var updates: [ProposedPush.Update] = []
        for update in request.updates where update.before != update.after {
            if await target(of: update.ref, in: repository) == update.after { updates.append(update) }
        }
        return updates
    }

    private func target(of ref: String, in repository: Repository) async -> String {
        let arguments = ["rev-parse", "--verify", "--quiet", "--end-of-options", ref]
        let result = try? await repository.git.output(arguments, in: repository.path)
        return result.flatMap { $0.status == 0 ? $0.line : nil } ?? PushEvent.nothing
    }

    /// When git failed without an answer, the client still learns why.
    @concurrent
    private func explain(
        _ outcome: GitStream.Outcome,
        _ request: PushRequest,
        writingTo writer: inout any ResponseBodyWriter
    ) async throws {
        guard outcome.status != 0 else { return }
        logger.warning(
            "receive-pack failed",
            metadata: ["status": "\(outcome.status)", "error": "\(outcome.errorText)"]
        )
        guard outcome.written == 0, request.capabilities.contains("side-band-64k") else { return }
        let text = "git receive-pack failed: \(outcome.errorText)".prefix(1000)
        try await writer.write(ByteBuffer(bytes: PacketLine.encode([3] + Array(text.utf8)) + PacketLine.flush))
    }
}
