import KubernetesClient
import Testing

struct BackoffTests {
    @Test
    func doublesUpToTheMaximum() {
        var backoff = Backoff(initial: .milliseconds(100), maximum: .seconds(1))
        for step in [100, 200, 400, 800, 1000, 1000] {
            let wait = backoff.next()
            #expect(wait >= .milliseconds(step / 2) && wait <= .milliseconds(step))
        }
        backoff.reset()
        #expect(backoff.next() <= .milliseconds(100))
    }
}
