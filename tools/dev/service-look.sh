#!/bin/sh
# Runs inside the systemd of service.sh, beside sema.service: looks at it, stops it, starts it, gives it a mistake.
set -u

ok() { # WHAT COMMAND...
    what=$1
    shift
    if "$@" >&2; then echo "ok - $what"; else echo "not ok - $what"; fi
}
shown() { systemctl show sema -p "$1" --value; }
is() { [ "$(shown "$1")" = "$2" ] || { echo "$1 is $(shown "$1"), not $2" && false; }; }
status_line() { grep -qE "^$1:[[:space:]]+$2" "/proc/$(shown MainPID)/status"; }

ok "started: it has told that it is ready" is SubState running
ok "it answers: sema check" sema check http://127.0.0.1:7860
ok "a user that exists only now" sh -c '[ "$(ps -o user= -p '"$(shown MainPID)"')" = sema ] && ! grep -q ^sema: /etc/passwd'
ok "no capabilities" status_line CapEff 0000000000000000
ok "no new privileges" status_line NoNewPrivs 1
ok "a system call filter" status_line Seccomp 2
ok "conversations in /var/lib/sema, for nobody else" sh -c '[ "$(stat -Lc %a /var/lib/sema/sema.db)" = 600 ] &&
    [ "$(stat -Lc %a /var/lib/private/sema)" = 700 ]'
ok "SHUTDOWN_TIMEOUT of /etc/sema/sema.env" sh -c 'tr "\0" "\n" </proc/'"$(shown MainPID)"'/environ | grep -qx SHUTDOWN_TIMEOUT=20'
ok "reload" systemctl reload sema
ok "runs on after it" is SubState running
ok "stop" systemctl stop sema
ok "stopped well" is Result success
ok "with status 0" is ExecMainStatus 0
ok "start again" systemctl start sema
ok "what it stored is there" sh -c '[ -s /var/lib/sema/sema.db ]'
# An answer of six seconds, and a unit that gives a stop two: the program asks for more.
echo '{"when": "*", "pieces": [{"text": "w", "repeat": 60, "every_ms": 100}]}' >/etc/sema/slow.jsonl
printf 'MODEL_TYPE=scripted\nMODEL_NAME=/etc/sema/slow.jsonl\n' >>/etc/sema/sema.env
mkdir -p /etc/systemd/system/sema.service.d
printf '[Service]\nTimeoutStopSec=2\n' >/etc/systemd/system/sema.service.d/short.conf
systemctl daemon-reload
systemctl restart sema
echo slow | sema chat --url http://127.0.0.1:7860 >/run/answer 2>/run/answer.errors &
sleep 1
ok "a stop beyond TimeoutStopSec" systemctl stop sema
ok "stopped well again" is Result success
wait
ok "the answer was whole" sh -c '[ "$(tr -cd w </run/answer | wc -c)" -eq 60 ]'
systemctl start sema
kill -SEGV "$(shown MainPID)"
sleep 1
ok "a crash is restarted" is SubState auto-restart
echo 'MODEL_TYPE=nope' >>/etc/sema/sema.env
systemctl restart sema 2>/dev/null
sleep 1
ok "a mistake in the settings is not" is SubState failed
ok "and has status 1" is ExecMainStatus 1
journalctl -u sema --no-pager -o cat >/var/look/journal
ok "the journal says which" grep -q 'MODEL_TYPE' /var/look/journal
echo end
