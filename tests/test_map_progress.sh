#!/bin/sh
# The line of --progress: on a terminal only, never mixed with output, gone at the end.
. "$(dirname "$0")/map_helpers.sh"

if ! command -v script >/dev/null; then
    echo "no script(1) to make a terminal with"
    exit 77
fi

# Runs a command line, a file, on a terminal. What the terminal shows is in $dir/terminal; the command
# may use $motet and $dir.
on_a_terminal()
{
    cat >"$dir/command"
    motet=$motet dir=$dir script -qefc "sh $dir/command" "$dir/terminal" </dev/null >/dev/null 2>&1
    status=$?
}

nothing_without_a_terminal()
{
    map --progress sh -c 'sleep 0.5' ::: 1
    is "$status" 0
    is "$(cat "$out" "$err")" ""
}

nothing_unless_asked_for()
{
    on_a_terminal <<'END'
exec "$motet" map sh -c 'sleep 0.5' ::: 1
END
    is "$status" 0
    is "$(grep -c failed "$dir/terminal")" 0
}

it_tells_how_far_it_is()
{
    # Job 3 waits for the line to tell of the two others.
    on_a_terminal <<'END'
exec "$motet" map --progress -j 3 sh -c '
    [ $1 != 1 ] || exit 5
    [ $1 != 3 ] || until grep -q "2/3 done, 1 failed, .* left" "$2/terminal"; do sleep 0.05; done
    echo said $1' sh {} "$dir" ::: 1 2 3 2>&1 >"$dir/out"
END
    is "$status" 1
    is "$(sort "$dir/out")" "said 2
said 3"
    has "$dir/terminal" "2/3 done, 1 failed"
    # The message is on a line of its own, and so is whatever comes after the last progress.
    tr '\r' '\n' <"$dir/terminal" >"$dir/lines"
    holds grep -qE "^($(printf '\033')\[K)?motet map: job 1 .*: exited with status 5$" "$dir/lines"
    holds grep -qE "^$(printf '\033')\[K(Script done.*)?$" "$dir/lines"
}

the_total_is_known_when_the_list_is_read()
{
    on_a_terminal <<'END'
{
    echo 1
    until grep -q "1 done, 0 failed" "$dir/terminal"; do sleep 0.05; done
    echo 2
} 2>/dev/null | "$motet" map --progress -j 3 sh -c '
    [ $1 != 2 ] || until grep -q "1/2 done, 0 failed, .* left" "$2/terminal"; do sleep 0.05; done' \
    sh {} "$dir"
END
    is "$status" 0
}

output_and_line_do_not_mix()
{
    # Both on the terminal; the job's output has no end of line.
    on_a_terminal <<'END'
exec "$motet" map --progress -j 1 sh -c '
    [ $1 != 2 ] || until grep -q "1/2 done" "$2/terminal"; do sleep 0.05; done
    printf "text $1"' sh {} "$dir" ::: 1 2
END
    is "$status" 0
    tr '\r' '\n' <"$dir/terminal" >"$dir/lines"
    holds grep -qE "^($(printf '\033')\[K)?text 1$" "$dir/lines"
    holds grep -qE "^$(printf '\033')\[Ktext 2" "$dir/lines"
}

run nothing_without_a_terminal
run nothing_unless_asked_for
run it_tells_how_far_it_is
run the_total_is_known_when_the_list_is_read
run output_and_line_do_not_mix
finish
