import CLinux
import Hummingbird
