import KubernetesModel
import Testing

@testable import KubernetesClient

struct JSONLinesTests {
    @Test(arguments: [1, 2, 3, 7, 100])
    func findsLinesInChunksOfAnySize(size: Int) throws {
        let text = Array("{\"a\":1}\n\n{\"b\":\"é\"}\n{\"c\"".utf8)
        var lines = JSONLines()
        var found: [[UInt8]] = []
        for start in stride(from: 0, to: text.count, by: size) {
            found += try lines.append(text[start..<min(start + size, text.count)])
        }
        #expect(found.map { String(decoding: $0, as: UTF8.self) } == ["{\"a\":1}", "{\"b\":\"é\"}"])
        #expect(lines.hasPartialLine)
    }

    @Test
    func refusesEndlessLines() {
        var lines = JSONLines(maximumLineLength: 10)
        #expect(throws: StatusError.self) { try lines.append(Array(repeating: 65, count: 11)) }
    }

    @Test
    func readsEvents() throws {
        #expect(try WatchEvent(line: Array(#"{"type":"ADDED","object":{"a":1}}"#.utf8)) == .added(["a": 1]))
        let bookmark = #"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"7"}}}"#
        #expect(try WatchEvent(line: Array(bookmark.utf8)) == .bookmark(resourceVersion: "7"))
        let expired = #"{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"old"}}"#
        let error = #expect(throws: StatusError.self) { try WatchEvent(line: Array(expired.utf8)) }
        #expect(error?.isExpired == true)
        #expect(throws: StatusError.self) { try WatchEvent(line: Array(#"{"type":"NEW"}"#.utf8)) }
        #expect(throws: (any Error).self) { try WatchEvent(line: Array("{".utf8)) }
    }
}
