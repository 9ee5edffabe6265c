import KubernetesModel
import Testing

@testable import Releases

struct ManifestReaderTests {
    @Test func readsDocumentsInTheOrderOfPaths() throws {
        let documents = try ManifestReader.read([
            ("k8s/b.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: b}\n"),
            (
                "k8s/a.yml",
                "# comment\n---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n---\n---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: s\n"
            ),
            (
                "k8s/c.json",
                #"{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Pod","metadata":{"name":"c"}}]}"#
            ),
            ("k8s/README.md", "not: [yaml"),
        ])
        #expect(documents.map(\.name) == ["a", "s", "b", "c"])
        #expect(documents.map(\.kind) == ["ConfigMap", "Secret", "Service", "Pod"])
        #expect(documents[1].source == "k8s/a.yml:9")
    }

    @Test func readsScalarsAsKubernetesDoes() throws {
        let text = """
            apiVersion: v1
            kind: ConfigMap
            metadata: {name: a}
            base: &base {x: 1, y: two}
            data: {n: 1, f: 1.5, t: true, on: yes, s: "1", none: ~, text: a b, octal: "010", date: 2026-01-02}
            merged: {<<: *base, y: own}
            """
        let object = try #require(try ManifestReader.read([("a.yaml", text)]).first).object
        #expect(
            object["data"]
                == [
                    "n": 1, "f": 1.5, "t": true, "on": true, "s": "1", "none": .null, "text": "a b", "octal": "010",
                    "date": "2026-01-02",
                ]
        )
        #expect(object["merged"] == ["x": 1, "y": "own"])
    }

    @Test(arguments: [
        ("kind: A\n", #"a.yaml:1: the field "apiVersion" is missing"#),
        ("apiVersion: v1\n---\nx: 1\n", #"a.yaml:1: the field "kind" is missing"#),
        ("apiVersion: v1\nkind: Pod\nmetadata: {generateName: x}\n", "a.yaml:1: Pod has no metadata.name"),
        ("- a\n", "a.yaml:1: expected an object with apiVersion, kind and metadata, found array"),
        ("apiVersion: v1\nkind: [\n", "a.yaml: line 3"), ("a: b: c\n", "a.yaml: line 1, column 5: "),
        ("apiVersion: v1\nkind: Pod\nkind: Pod\n", #"the key "kind" is there twice"#), ("a: *b\n", "a.yaml: "),
    ])
    func saysWhatIsWrongAndWhere(text: String, message: String) {
        let error = #expect(throws: ReleaseError.self) { try ManifestReader.read([("a.yaml", text)]) }
        #expect(error?.description.contains(message) == true, "\(error?.description ?? "")")
    }
}
