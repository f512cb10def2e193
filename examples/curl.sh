#!/usr/bin/env bash
# A client of Sema in the shell, with curl: chat, stream, WebSocket, sessions, switch.
#
#     examples/curl.sh [URL] [MODEL_TYPE MODEL_NAME]
#
# URL is http://127.0.0.1:7860 unless given; API_KEY of the environment is sent when it is set (curl reads it from a
# pipe, so that no process list shows it).  With a model named the server is switched to it, else to the one that it
# has, which changes nothing.
set -euo pipefail

url=${1:-http://127.0.0.1:7860}
url=${url%/}
session=example-$$-$RANDOM$RANDOM
seconds=120 # an answer may take no longer

# curl with the key, when there is one.
call() {
    curl -sS --fail-with-body --max-time "$seconds" \
        --config <(if [ -n "${API_KEY:-}" ]; then printf 'header = "Authorization: Bearer %s"\n' "$API_KEY"; fi) "$@"
}

# One question and its answer; a refusal ends the script with the server's words.
ask() {
    local body status=0
    body=$(call "$@") || status=$?
    if [ "$status" != 0 ]; then
        echo "$body" >&2
        exit "$status"
    fi
    printf '%s\n' "$body"
}

# The value of a string or number in JSON that is one line without blanks, as Sema writes it; escapes but \" stay as
# they are (jq does it all).
value() { sed -nE 's/.*"'"$1"'":("(([^"\]|\\.)*)"|([0-9]+)).*/\2\4/p' | sed 's/\\"/"/g'; }

json=(-H 'Content-Type: application/json')

answer=$(ask "$url/api/v1/chat" "${json[@]}" -d '{"message":"Hello","session_id":"'$session'"}' | value message)
echo "chat: $answer"

# A stream is server-sent events: "data: {...}" lines; -N shows each as it comes.
printf 'stream: '
call -N -G "$url/api/v1/chat/stream" --data-urlencode 'message=Hello again' --data-urlencode "session_id=$session" |
    tr -d '\r' | sed -n 's/^data: //p' | while IFS= read -r data; do
        case $data in
        *'"error":'*) echo "stream: $data" >&2 && exit 1 ;;
        *'"content":'*) printf '%s' "$(value content <<<"$data")" ;;
        esac
    done
echo

# curl of many systems speaks no WebSocket, so bash does (RFC 6455): a frame masked with four zeros is its own text.
websocket() {
    local host=${url#*://} port=80 question='{"message":"And again","session_id":"'$session'"}' line first second n frame
    host=${host%%/*}
    if [[ $host == *:* ]]; then port=${host##*:} host=${host%:*}; fi
    exec 3<>"/dev/tcp/$host/$port"
    printf 'GET /api/v1/chat/ws HTTP/1.1\r\nHost: %s:%s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' "$host" "$port" >&3
    if [ -n "${API_KEY:-}" ]; then printf 'Authorization: Bearer %s\r\n' "$API_KEY" >&3; fi
    printf 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n' "$(head -c 16 /dev/urandom | base64)" >&3
    IFS= read -r -t "$seconds" line <&3
    [[ $line == *' 101 '* ]] || { echo "websocket: $line" >&2 && exit 1; }
    while IFS= read -r -t "$seconds" line <&3 && [ "$line" != $'\r' ]; do :; done
    printf '%b' "\x81\x$(printf %x $((0x80 + ${#question})))\0\0\0\0$question" >&3
    while read -r first second < <(bytes 2) && [ -n "$second" ]; do
        n=$((second & 127))
        if [ "$n" = 126 ]; then
            read -r first second < <(bytes 2)
            n=$((first * 256 + second))
        fi
        frame=$(timeout "$seconds" head -c "$n" <&3)
        case $frame in
        *'"is_final":true'*) break ;;
        *'"type":"error"'*) echo "websocket: $frame" >&2 && exit 1 ;;
        *) printf '%s' "$(value content <<<"$frame")" ;;
        esac
    done
    printf '\x88\x82\0\0\0\0\x03\xe8' >&3 # the close, 1000
    exec 3>&-
}
bytes() { timeout "$seconds" head -c "$1" <&3 | od -An -tu1; }

if [[ $url == https:* ]]; then
    echo 'websocket: not over TLS from a shell'
else
    answer=$(websocket)
    echo "websocket: $answer"
fi

count=$(ask "$url/api/v1/sessions/$session" | value message_count)
sessions=$(ask "$url/api/v1/sessions" | grep -o '"session_id":' | wc -l)
echo "session: $count messages, $((sessions)) sessions"
ask -X DELETE "$url/api/v1/sessions/$session" >/dev/null

if [ $# -ge 3 ]; then
    model='{"model_type":"'$2'","model_name":"'$3'"}'
else
    name=$(ask "$url/api/v1/model/info" | sed 's/^{"name":"\([^"]*\)".*/\1/')
    model='{"model_name":"'$name'"}'
fi
answer=$(ask "$url/api/v1/model/switch" "${json[@]}" -d "$model")
echo "switch: $(sed 's/.*"current":{[^}]*"model_name":"\([^"]*\)".*/\1/' <<<"$answer")"
