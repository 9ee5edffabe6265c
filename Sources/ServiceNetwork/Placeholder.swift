import NIOPosix
import Subprocess
