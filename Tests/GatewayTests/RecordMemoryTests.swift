import CLinux
import Testing

/// The blocks that OpenSSL is given.
struct RecordMemoryTests {
    private struct Block {
        let memory: UnsafeMutableRawPointer
        let size: Int
        let mark: UInt8

        var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: memory, count: size) }
    }

    /// What is written into one block is found in no other, also when blocks of other sizes have been freed before.
    @Test func blocksAreAsLargeAsAskedFor() async throws {
        let damaged = try await onThread {
            clinux_pool_open()
            defer { clinux_pool_close() }
            var random = SeededGenerator(seed: 41)
            var blocks: [Block] = []
            var damaged = 0
            for step in 0..<20_000 {
                if blocks.count > 100 || !blocks.isEmpty && Bool.random(using: &random) {
                    let block = blocks.remove(at: Int.random(in: 0..<blocks.count, using: &random))
                    if block.bytes.contains(where: { $0 != block.mark }) { damaged += 1 }
                    clinux_pool_free(block.memory, nil, 0)
                } else {
                    let sizes = [1...300, 8_000...8_400, 16_000...21_000].randomElement(using: &random)!
                    let size = Int.random(in: sizes, using: &random)
                    let memory = clinux_pool_allocate(size, nil, 0)!
                    memory.initializeMemory(as: UInt8.self, repeating: UInt8(truncatingIfNeeded: step), count: size)
                    blocks.append(Block(memory: memory, size: size, mark: UInt8(truncatingIfNeeded: step)))
                }
            }
            for block in blocks { clinux_pool_free(block.memory, nil, 0) }
            return damaged
        }
        #expect(damaged == 0)
    }
}
