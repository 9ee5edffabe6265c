import Foundation
import SystemPackage
import Testing

@testable import Host

struct HomeTests {
    @Test func keepsItsIdAcrossSpellingsOfTheSamePath() {
        #expect(Home("/var/lib/sampan").id == Home("/var/lib/../lib/sampan").id)
        #expect(Home("/var/lib/sampan").id != Home("/var/lib/sampan2").id)
        #expect(Home("/a").id.count == 8)
    }

    @Test func savesSettingsAndReadsThemBack() throws {
        try withTemporaryHome { home in
            #expect(try Settings.load(from: home) == nil)
            var settings = Settings()
            settings.apiPort = 7443
            try settings.save(to: home)
            #expect(try Settings.load(from: home) == settings)
        }
    }

    @Test func namesTheSettingsFileThatCannotBeRead() throws {
        try withTemporaryHome { home in
            try DurableFile.write(Array("{".utf8), to: home.settingsFile)
            let error = #expect(throws: HostError.self) { try Settings.load(from: home) }
            #expect(error?.description.contains("settings.json") == true)
        }
    }
}

func withTemporaryHome<Value>(_ body: (Home) throws -> Value) rethrows -> Value {
    let home = Home(FilePath(NSTemporaryDirectory()).appending("sampan-home-\(UInt32.random(in: 0 ... .max))"))
    defer { try? FileManager.default.removeItem(atPath: home.path.string) }
    return try body(home)
}

func withTemporaryHome<Value>(_ body: (Home) async throws -> Value) async rethrows -> Value {
    let home = Home(FilePath(NSTemporaryDirectory()).appending("sampan-home-\(UInt32.random(in: 0 ... .max))"))
    defer { try? FileManager.default.removeItem(atPath: home.path.string) }
    return try await body(home)
}
