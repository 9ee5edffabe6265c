/// The shell programs inside a job's pod. They need nothing but the static busybox beside them.
///
/// Credentials travel on standard input and in environment variables, never as arguments, so that no process list shows them.
enum HelperScripts {
    /// Talks HTTP over `nc`: `http METHOD PATH [FILE]`, then `read_head` on the answer.
    static let http = #"""
        CR=$(printf '\r')
        # The request comes from a pipe that stays open for writing: at its end nc would close its side of the connection, which
        # the platform takes for a client that went away.
        http() {
            pipe=$S/tmp/http.$$
            mkfifo "$pipe" || return 1
            exec 3<>"$pipe"
            rm -f "$pipe"
            {
                printf '%s %s HTTP/1.1\r\nHost: %s\r\nJOB-TOKEN: %s\r\nConnection: close\r\n' \
                    "$1" "$SAMPAN_API_PATH$2" "$SAMPAN_API_HOST:$SAMPAN_API_PORT" "$CI_JOB_TOKEN"
                if [ -n "$3" ]; then
                    printf 'Content-Type: application/x-tar\r\nContent-Length: %s\r\n\r\n' "$(stat -c %s "$3")"
                    cat "$3"
                else
                    printf 'Content-Length: 0\r\n\r\n'
                fi
            } >&3 2>/dev/null &
            nc "$SAMPAN_API_HOST" "$SAMPAN_API_PORT" <&3
            # Nobody reads any more what it may still want to write.
            kill $! 2>/dev/null
            exec 3>&-
        }
        # STATUS is 000 when nothing answered.
        read_head() {
            STATUS=000
            CHUNKED=0
            LENGTH=
            IFS= read -r line || return 1
            STATUS=${line#* }
            STATUS=${STATUS%% *}
            while IFS= read -r line && [ "$line" != "$CR" ] && [ -n "$line" ]; do
                case "$line" in
                [Tt]ransfer-[Ee]ncoding:*chunked*) CHUNKED=1 ;;
                [Cc]ontent-[Ll]ength:*)
                    LENGTH=${line#*:}
                    LENGTH=${LENGTH%"$CR"}
                    LENGTH=${LENGTH# }
                    ;;
                esac
            done
            return 0
        }
        # Where the platform goes away in the middle, commands end with this code: they may be run again once it is back.
        LOST=75
        # Waits until the platform answers anything; gives up after SAMPAN_PATIENCE seconds.
        await_platform() {
            waited=0
            until http GET /version 2>/dev/null | { read_head; [ "$STATUS" != 000 ]; }; do
                [ $waited = 0 ] && echo "WARNING: the platform does not answer; waiting for it"
                waited=$((waited + 1))
                [ $waited -lt "${SAMPAN_PATIENCE:-300}" ] || return 1
                sleep 1
            done
        }
        # Runs a command until it succeeds: three times, and up to ten times more when the platform went away. A command that ends
        # with 4 was answered no, and is not run again.
        attempt() {
            failures=0
            losses=0
            while :; do
                "$@"
                result=$?
                case $result in
                0 | 4) return $result ;;
                "$LOST")
                    losses=$((losses + 1))
                    [ $losses -le 10 ] && await_platform && continue
                    return 1
                    ;;
                esac
                failures=$((failures + 1))
                [ $failures -lt 3 ] || return 1
                echo "WARNING: trying again in $failures s"
                sleep $failures
            done
        }
        section_start() { printf '\033[0Ksection_start:%s:%s\r\033[0K\033[36;1m%s\033[0;m\n' "$(date +%s)" "$1" "$2"; }
        section_end() { printf '\033[0Ksection_end:%s:%s\r\033[0K' "$(date +%s)" "$1"; }

        """#

    /// Runs first: puts the tools in place and fetches sources, artifacts and caches.
    static let prepare = #"""
        umask 0000
        B=${SAMPAN_HELPER:-/helper}
        S=${SAMPAN_SHARED:-/sampan}
        J=${SAMPAN_JOB:-/sampan-job}
        mkdir -p "$S/bin" "$S/applets" "$S/state" "$S/tmp"
        cp "$B/busybox" "$S/bin/busybox" && chmod 755 "$S/bin/busybox"
        for name in sampan build.sh; do cp "$B/$name" "$S/bin/$name" && chmod 755 "$S/bin/$name"; done
        "$S/bin/busybox" --install -s "$S/applets"
        PATH=$S/applets
        set -o pipefail
        . "$B/http.sh"
        . "$J/settings"

        # Unpacks LENGTH bytes. They are counted before: a tar that is cut off between two files looks whole.
        unpack() {
            cat >"$S/tmp/archive" || return 1
            [ "$(stat -c %s "$S/tmp/archive")" -eq "${LENGTH:--1}" ] || return $LOST
            tar -x -o -f "$S/tmp/archive" -C "$CI_PROJECT_DIR"
            code=$?
            rm -f "$S/tmp/archive"
            return $code
        }
        fetch_archive() {
            http GET "$1" | {
                read_head
                case "$STATUS" in
                200) unpack ;;
                404) exit 4 ;;
                000) exit $LOST ;;
                *) echo "the server answered $STATUS"; exit 1 ;;
                esac
            }
        }

        section_start get_sources "Getting source from Git repository"
        mkdir -p "$CI_PROJECT_DIR"
        case "$GIT_STRATEGY" in
        fetch | clone)
            echo "Checking out $CI_COMMIT_SHORT_SHA as detached HEAD (ref is $CI_COMMIT_REF_NAME)..."
            attempt fetch_archive "/jobs/$CI_JOB_ID/sources?depth=$GIT_DEPTH" ||
                { echo "ERROR: the sources could not be fetched"; exit 1; }
            ;;
        none | empty) echo "Skipping Git repository setup" ;;
        *) echo "ERROR: unknown GIT_STRATEGY \"$GIT_STRATEGY\"; expected fetch, clone, none or empty"; exit 1 ;;
        esac
        case "$GIT_SUBMODULE_STRATEGY" in
        none | "") ;;
        *) echo "WARNING: GIT_SUBMODULE_STRATEGY has no effect on this platform: submodules stay empty" ;;
        esac
        # What git brought; the image of the job may have no git to ask later.
        (cd "$CI_PROJECT_DIR" && find . -path ./.git -prune -o ! -type d -print) >"$S/state/tracked"
        section_end get_sources
        if [ -s "$J/caches.pull" ]; then
            section_start restore_cache "Restoring cache"
            while IFS= read -r key; do
                echo "Checking cache..."
                attempt fetch_archive "/jobs/$CI_JOB_ID/cache?key=$key" </dev/null
                case $? in
                0) echo "Successfully extracted cache" ;;
                *) echo "No cache was found" ;;
                esac
            done <"$J/caches.pull"
            section_end restore_cache
        fi
        if [ -s "$J/dependencies" ]; then
            section_start download_artifacts "Downloading artifacts"
            while IFS=' ' read -r id name; do
                echo "Downloading artifacts for $name ($id)..."
                attempt fetch_archive "/jobs/$CI_JOB_ID/dependencies/$id" </dev/null
                case $? in
                0) ;;
                4) echo "WARNING: the artifacts of $name have expired or were erased" ;;
                *) echo "ERROR: the artifacts of $name could not be fetched"; exit 1 ;;
                esac
            done <"$J/dependencies"
            section_end download_artifacts
        fi
        chmod -R a+rwX "$CI_PROJECT_DIR"
        chmod 777 "$S/state" "$S/tmp"
        """#

    /// Runs in the job's own image: finds its shell, runs the script, and leaves the exit code where `finish` sees it.
    static let build = #"""
        S=${SAMPAN_SHARED:-/sampan}
        J=${SAMPAN_JOB:-/sampan-job}
        B=$S/bin/busybox
        umask 0000
        . "$J/environment"
        export PATH="${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}:$S/bin"
        section() { printf '\033[0Ksection_%s:%s:%s\r\033[0K' "$1" "$($B date +%s)" "$2"; }
        end() {
            echo "$1" >"$S/state/exit-code.new" && $B mv "$S/state/exit-code.new" "$S/state/exit-code"
            exit "$1"
        }
        find_shell() {
            for name in bash sh; do
                IFS=:
                for folder in $PATH; do
                    if [ -x "$folder/$name" ]; then
                        shell=$folder/$name
                        unset IFS
                        return 0
                    fi
                done
                unset IFS
            done
            # An image without any shell: busybox lends one, with its commands.
            shell="$B sh"
            export PATH="$PATH:$S/applets"
        }
        run() {
            $shell "$1" &
            child=$!
            trap 'kill -TERM $child 2>/dev/null' TERM INT
            wait $child
            code=$?
            while [ $code -gt 128 ] && kill -0 $child 2>/dev/null; do
                wait $child
                code=$?
            done
        }
        find_shell
        cd "$CI_PROJECT_DIR" || end 1
        section start step_script
        printf '\033[36;1mExecuting "step_script" stage of the job script\033[0;m\n'
        run "$J/script"
        section end step_script
        if [ -f "$J/after_script" ]; then
            export CI_JOB_STATUS=success
            [ $code = 0 ] || export CI_JOB_STATUS=failed
            section start after_script
            printf '\033[36;1mRunning after_script\033[0;m\n'
            result=$code
            shell="$B timeout ${SAMPAN_AFTER_SCRIPT_TIMEOUT:-300} $shell"
            run "$J/after_script"
            [ $code = 0 ] || echo "WARNING: after_script failed, but job will continue unaffected: exit code $code"
            code=$result
            section end after_script
        fi
        end $code
        """#

    /// Waits for the end of the script and sends caches and artifacts.
    static let finish = #"""
        B=${SAMPAN_HELPER:-/helper}
        S=${SAMPAN_SHARED:-/sampan}
        J=${SAMPAN_JOB:-/sampan-job}
        PATH=$S/applets
        . "$B/http.sh"
        . "$J/settings"
        trap 'exit 1' TERM INT
        while [ ! -f "$S/state/exit-code" ]; do sleep 0.1; done
        code=$(cat "$S/state/exit-code")
        [ "$code" = 0 ] && ended=on_success || ended=on_failure
        cd "$CI_PROJECT_DIR" || exit 1

        # Files that did not come from git, ignored ones too, as "git ls-files --others" tells them.
        untracked() {
            find . -path ./.git -prune -o ! -type d ! -name '*
        *' -print | LC_ALL=C awk -v tracked="$S/state/tracked" '
                BEGIN { while ((getline line <tracked) > 0) known[line] = 1 }
                !($0 in known)'
        }
        # pack NAME ARCHIVE: the files that match NAME.include and not NAME.exclude, as one tar (or several in a row).
        pack() {
            find . ! -type d ! -name '*
        *' | grep -E -f "$J/$1.include" >"$S/tmp/$1.list"
            if [ -e "$J/$1.untracked" ]; then
                untracked | cat "$S/tmp/$1.list" - | LC_ALL=C sort -u >"$S/tmp/$1.all"
                mv "$S/tmp/$1.all" "$S/tmp/$1.list"
            fi
            if [ -s "$J/$1.exclude" ]; then
                grep -v -E -f "$J/$1.exclude" "$S/tmp/$1.list" >"$S/tmp/$1.kept"
                mv "$S/tmp/$1.kept" "$S/tmp/$1.list"
            fi
            : >"$2"
            tr '\n' '\000' <"$S/tmp/$1.list" | xargs -0 -r -n 1000 tar -c -f - >>"$2"
        }
        send() {
            http POST "$1" "$2" | {
                read_head
                [ "$STATUS" = 201 ] && exit 0
                [ "$STATUS" = 000 ] && exit $LOST
                echo "the server answered $STATUS: $(tail -n 1 | head -c 500)"
                case "$STATUS" in 4*) exit 4 ;; esac
                exit 1
            }
        }
        while IFS=' ' read -r name key when; do
            case "$when" in "$ended" | always) ;; *) continue ;; esac
            section_start archive_cache "Saving cache for $ended job"
            pack "$name" "$S/tmp/$name.tar"
            if [ -s "$S/tmp/$name.list" ]; then
                attempt send "/jobs/$CI_JOB_ID/cache?key=$key" "$S/tmp/$name.tar" </dev/null && echo "Created cache" ||
                    echo "WARNING: the cache was not saved"
            else
                echo "WARNING: no files match the cache's paths"
            fi
            rm -f "$S/tmp/$name.tar"
            section_end archive_cache
        done <"$J/caches.push"
        case "$SAMPAN_ARTIFACTS_WHEN" in "$ended" | always) ;; *) exit 0 ;; esac
        section_start upload_artifacts "Uploading artifacts for $ended job"
        echo "Uploading artifacts..."
        pack artifacts "$S/tmp/artifacts.tar"
        status=0
        if [ -s "$S/tmp/artifacts.list" ]; then
            echo "found $(wc -l <"$S/tmp/artifacts.list") matching artifact files"
            if attempt send "/jobs/$CI_JOB_ID/artifacts" "$S/tmp/artifacts.tar"; then
                echo "Uploading artifacts to the server... ok"
            else
                echo "ERROR: Uploading artifacts to the server... failed"
                status=1
            fi
        else
            echo "ERROR: No files to upload"
        fi
        section_end upload_artifacts
        exit $status
        """#

    /// What jobs call: `sampan build` and `sampan deploy`.
    static let sampan = #"""
        S=${SAMPAN_SHARED:-/sampan}
        PATH=$S/applets
        J=${SAMPAN_JOB:-/sampan-job}
        . "$J/settings"
        . "$J/http.sh"

        usage() {
            echo "usage: sampan build [DIR] [--image NAME] [--file Dockerfile] [--build-arg NAME=VALUE]... [--target STAGE]" >&2
            echo "       sampan deploy [--environment NAME] [--manifests DIR] [--timeout TIME]" >&2
            exit 2
        }
        encode() { printf %s "$1" | od -A n -v -t x1 | tr -d '\n' | sed 's/ /%/g'; }
        add() { query="$query${query:+&}$1=$(encode "$2")"; }
        value() {
            [ $# -ge 2 ] || { echo "sampan: $1 needs a value" >&2; usage; }
            printf %s "$2"
        }
        # Sends FILE and shows the answer as it comes; its last line is the exit code.
        stream() {
            http POST "$1" "$2" | {
                read_head
                LC_ALL=C awk -v chunked="$CHUNKED" -v status="$STATUS" -v lost="$LOST" '
                    function number(text, value, i) {
                        value = 0
                        text = tolower(text)
                        for (i = 1; i <= length(text); i++) {
                            digit = index("0123456789abcdef", substr(text, i, 1))
                            if (!digit) break
                            value = value * 16 + digit - 1
                        }
                        return value
                    }
                    function emit(text) {
                        if (text ~ /^sampan-exit-code: [0-9]+$/) code = substr(text, 19)
                        else print text
                        fflush()
                    }
                    !chunked { emit($0); next }
                    left == 0 {
                        size = $0
                        sub(/\r$/, "", size)
                        if (size != "") left = number(size)
                        next
                    }
                    length($0) + 1 <= left { left -= length($0) + 1; emit(partial $0); partial = ""; next }
                    { partial = partial substr($0, 1, left); left = 0 }
                    END {
                        if (partial != "") emit(partial)
                        if (code != "") exit code
                        if (status == "000" || status == 200) exit lost
                        print "sampan: the platform answered " status > "/dev/stderr"
                        exit 1
                    }'
            }
        }
        # Sends FILE until the platform has answered to the end: what a request asks for is done once, however often it is sent.
        persist() {
            what=$1
            shift
            tries=1
            while :; do
                stream "$@"
                code=$?
                [ $code = $LOST ] || return $code
                echo "sampan: the connection to the platform was lost" >&2
                [ $tries -lt 10 ] && await_platform >&2 || return 1
                tries=$((tries + 1))
                echo "sampan: the $what is sent again (try $tries)" >&2
            done
        }
        run_build() {
            folder=.
            query=
            while [ $# -gt 0 ]; do
                case "$1" in
                --image) add image "$(value "$@")"; shift ;;
                --file | -f) add file "$(value "$@")"; shift ;;
                --target) add target "$(value "$@")"; shift ;;
                --build-arg) add build_arg "$(value "$@")"; shift ;;
                -*) echo "sampan: unknown option $1" >&2; usage ;;
                *) folder=$1 ;;
                esac
                shift || usage
            done
            [ -d "$folder" ] || { echo "sampan: there is no folder $folder" >&2; exit 2; }
            archive=$(mktemp "$S/tmp/context.XXXXXX")
            tar -c -f "$archive" -C "$folder" . || { rm -f "$archive"; exit 1; }
            persist build "/projects/$CI_PROJECT_ID/image_builds?$query" "$archive"
            code=$?
            rm -f "$archive"
            exit $code
        }
        run_deploy() {
            manifests=
            timeout=
            environment=$CI_ENVIRONMENT_NAME
            while [ $# -gt 0 ]; do
                case "$1" in
                --environment) environment=$(value "$@"); shift ;;
                --manifests) manifests=$(value "$@"); shift ;;
                --timeout) timeout=$(value "$@"); shift ;;
                *) echo "sampan: unknown argument $1" >&2; usage ;;
                esac
                shift || usage
            done
            [ -n "$environment" ] || { echo "sampan: name an environment by --environment or in the job's environment:" >&2; exit 2; }
            if [ -n "$manifests" ] && [ ! -d "$manifests" ]; then
                echo "sampan: there is no folder $manifests" >&2
                exit 2
            fi
            if [ -z "$manifests" ] && [ -d k8s ]; then manifests=k8s; fi
            empty=
            if [ -z "$manifests" ]; then
                empty=$(mktemp -d "$S/tmp/empty.XXXXXX")
                manifests=$empty
            fi
            archive=$(mktemp "$S/tmp/manifests.XXXXXX")
            tar -c -f "$archive" -C "$manifests" . || exit 1
            query=
            add environment "$environment"
            [ -z "$timeout" ] || add timeout "$timeout"
            add request "$CI_JOB_ID-$(head -c 8 /dev/urandom | od -A n -v -t x1 | tr -d ' \n')"
            persist deploy "/projects/$CI_PROJECT_ID/deploys?$query" "$archive"
            code=$?
            rm -rf "$archive" "$empty"
            exit $code
        }
        command=$1
        [ $# -gt 0 ] && shift
        case "$command" in
        build) run_build "$@" ;;
        deploy) run_deploy "$@" ;;
        *) usage ;;
        esac
        """#
}
