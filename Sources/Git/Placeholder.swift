import Hummingbird
import Subprocess
