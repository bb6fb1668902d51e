#!/bin/sh
# Which items there are, and what becomes of them in the arguments of a job.
# modes: plain asan
. "$(dirname "$0")/map_helpers.sh"

arguments()
{
    map -k printf '%s\n' ::: a 'b c' -d ''
    is "$status" 0
    is "$(cat "$out")" "a
b c
-d"
    is "$(wc -l <"$out")" 4
    is "$(cat "$err")" ""
}

lines_of_standard_input()
{
    printf 'one\n two  three \n\n\nfour' >"$dir/in"
    map -k echo <"$dir/in"
    is "$status" 0
    is "$(cat "$out")" "one
 two  three 
four"
}

lines_of_a_pipe()
{
    seq 100 | "$motet" map -k echo >"$out"
    is "$(cat "$out")" "$(seq 100)"
}

items_are_run_as_they_come()
{
    mkfifo "$dir/in"
    "$motet" map -j 2 sh -c 'echo "$1" >>"$2"' sh {} "$dir/came" <"$dir/in" >"$out" 2>"$err" &
    runner=$!
    strays=$runner
    exec 5>"$dir/in"
    echo first >&5
    wait_until lines "$dir/came" 1
    printf 'sec' >&5
    echo ond >&5
    wait_until lines "$dir/came" 2
    exec 5>&-
    wait $runner
    is $? 0
    is "$(cat "$dir/came")" "first
second"
}

a_file()
{
    seq 3 >"$dir/list"
    map -k -a "$dir/list" echo item </dev/null
    is "$status" 0
    is "$(cat "$out")" "item 1
item 2
item 3"
    map -k -a - echo <"$dir/list"
    is "$(cat "$out")" "$(seq 3)"
}

nul_separated()
{
    printf 'a\nb\0\0c d\0e' >"$dir/in"
    map -k -0 printf '<%s>' <"$dir/in"
    is "$status" 0
    is "$(cat "$out")" "<a
b><><c d><e>"
    printf 'x\0' >"$dir/in"
    map -0 -a "$dir/in" echo
    is "$(cat "$out")" x
}

no_items()
{
    map echo </dev/null
    is "$status" 0
    map echo :::
    is "$status" 0
    printf '\n\n' | "$motet" map echo >"$out"
    is "$(cat "$out")" ""
}

the_command_s_own_options()
{
    map -j 1 echo -j 5 --timeout -- {} -k ::: -0
    is "$(cat "$out")" "-j 5 --timeout -- -0 -k"
    map -- echo -n ::: x
    is "$(cat "$out")" x
}

placeholders()
{
    map -k printf '%s|%s|%s|%s|%s|%s|%s\n' {} {.} {/} {//} {/.} {#} 'x{}y{}z{.}' ::: \
        dir/a.tar.gz /root 'two words.txt' a.d/b .profile .. d/
    is "$status" 0
    is "$(cat "$out")" 'dir/a.tar.gz|dir/a.tar|a.tar.gz|dir|a.tar|1|xdir/a.tar.gzydir/a.tar.gzzdir/a.tar
/root|/root|root|/|root|2|x/rooty/rootz/root
two words.txt|two words|two words.txt|.|two words|3|xtwo words.txtytwo words.txtztwo words
a.d/b|a.d/b|b|a.d|b|4|xa.d/bya.d/bza.d/b
.profile|.profile|.profile|.|.profile|5|x.profiley.profilez.profile
..|..|..|.|..|6|x..y..z..
d/|d/|d|.|d|7|xd/yd/zd/'
}

other_braces_stay()
{
    map -k echo '{x}' '{' '{{}}' '{}}' '{/}{#}' '${}' ::: a/b
    is "$(cat "$out")" '{x} { {a/b} a/b} b1 $a/b'
}

the_item_is_the_command()
{
    printf 'true\nfalse\n' | "$motet" map -k {} >"$out" 2>"$err"
    is $? 1
    has "$err" "job 2 (false): exited with status 1"
    map '{/}' x ::: /nowhere/echo
    is "$(cat "$out")" x
}

no_shell()
{
    map -k echo ::: '$HOME' '`id`' '*' '; exit 3' "it's" '"'
    is "$(cat "$out")" '$HOME
`id`
*
; exit 3
it'"'s"'
"'
}

an_item_too_long_or_with_a_nul_fails_alone()
{
    {
        echo before
        head -c 300000 /dev/zero | tr '\0' x
        printf '\nafter\n'
        printf 'a\0b\nlast\n'
    } >"$dir/in"
    map -k echo <"$dir/in"
    is "$status" 1
    is "$(cat "$out")" "before
after
last"
    has "$err" "job 2 (echo xxx"
    has "$err" "the item is too long for an argument"
    has "$err" "job 4 (echo a): cannot run: the item has a NUL byte in it"
    is "$(wc -l <"$err")" 2
}

# The kernel takes arguments of up to 32 pages, the NUL at their end included.
the_longest_item()
{
    longest=$(($(getconf PAGESIZE) * 32 - 1))
    head -c $longest /dev/zero | tr '\0' y >"$dir/in"
    map printf %s <"$dir/in"
    is "$status" 0
    is "$(wc -c <"$out")" $longest
    echo >>"$dir/in"
    map printf %s <"$dir/in"
    is "$(wc -c <"$out")" $longest
}

jobs_read_nothing_of_ours()
{
    printf '1\n2\n3\n' | "$motet" map -k sh -c 'cat; echo "$1"' sh >"$out"
    is "$(cat "$out")" "1
2
3"
}

slots()
{
    # No two at a time have the same one, or mkdir fails.
    seq 60 | "$motet" map -j 3 sh -c '
        mkdir "$1/$2" || exit 1
        echo $2
        rmdir "$1/$2"' sh "$dir" {%} >"$out" 2>"$err"
    is $? 0
    is "$(cat "$err")" ""
    is "$(sort -u "$out" | tr -d '123\n')" ""
    is "$(wc -l <"$out")" 60
}

numbers_in_the_environment()
{
    MOTET_JOB=outer MOTET_SLOT=outer MAP_TEST=kept "$motet" map -j 1 -k sh -c '
        echo $MOTET_JOB $MOTET_SLOT $MAP_TEST $1
        env | grep -c "^MOTET_[JS][OL]"' sh "{#} {%}" ::: a b >"$out"
    is "$(cat "$out")" "1 1 kept 1 1
2
2 1 kept 2 1
2"
}

columns()
{
    printf 'a.b,c/d.e\nx,\n,y,z\n' >"$dir/list"
    map -k -a "$dir/list" --colsep , printf '<%s>' {1} {1.} {2} {2/} {2//} {2/.} {3} {} {#} {0} {1#} {1x} {9999999999999999999}
    is "$(cat "$out")" "<a.b><a><c/d.e><d.e><c><d><><a.b,c/d.e><1><{0}><{1#}><{1x}><>\
<x><x><><><.><><><x,><2><{0}><{1#}><{1x}><>\
<><><y><y><.><y><z><,y,z><3><{0}><{1#}><{1x}><>"
    printf 'a b\tc\n' | "$motet" map --colsep '\t' printf '<%s>' {2} {1} {1}{2} >"$out"
    is "$(cat "$out")" "<c><a b><a bc>"
    map --colsep '::' echo {2}/{1} ::: a::b
    is "$(cat "$out")" b/a
    # Without the option they are no placeholders.
    map awk '{1} BEGIN {print "{1} {2.}"}' ::: a
    is "$(cat "$out")" "{1} {2.}"
    # The whole item, when none is used.
    map --colsep , printf '<%s>' ::: a,b
    is "$(cat "$out")" "<a,b>"
}

# Items that a shell would trip over.
nasty()
{
    printf '%s\0' 'a b' '$(touch pwned)' '`touch pwned`' "it's" '"' '\' '*' '' '-n' '; touch pwned' "
" '{}' '{#}' '${1}' "'; touch pwned; '" '" ; touch pwned; "' '~' '#x' '&' '$1'
}

shell()
{
    nasty >"$dir/list"
    nasty | tr '\0' '|' >"$dir/expected"
    cd "$dir" || exit 1
    for script in 'printf "%s|" {}' 'printf "%s|" "{}"' "printf '%s|' '{}'" 'printf "%s|" "$1"' \
        'printf "%s|" {} | cat' 'x={}; printf "%s|" "$x"' "printf %s'|' {}" 'eval printf "%s\\|" "\"\$1\""' \
        'printf "%s|" "${1}"' 'f() { printf "%s|" "$1"; }; f {}'; do
        "$motet" map -k -0 -a list --shell "$script" >"$out" 2>"$err"
        is $? 0
        cmp "$dir/expected" "$out" || complain "script: $script" "$(cat "$out" "$err")"
    done
    # A placeholder that is escaped or the shell's own is none.
    map -k --shell 'echo ${#} \{} $# {#}{#} "{/.}" {//}' ::: /x/y.z
    is "$(cat "$out")" "5 {} 5 11 y /x"
    map --shell --colsep : 'echo "{2} {1}" ${1}' ::: a:b
    is "$(cat "$out")" "b a a:b"
    map --shell 'echo {1} {2}' ::: a
    is "$(cat "$out")" "{1} {2}"
    map --shell 'cat <<END
"$1"
END' ::: 'a"b $(: >pwned)'
    is "$(cat "$out")" '"a"b $(: >pwned)"'
    [ ! -e pwned ] || complain "something was run that should not"
    cd / || exit 1
}

dry_run()
{
    nasty >"$dir/list"
    cd "$dir" || exit 1
    map -0 -a list --dry-run printf '%s|' x=y {}
    is "$status" 0
    # The same when a shell runs what is printed.
    map -k -0 -a list printf '%s|' x=y {}
    cp "$out" expected
    map -0 -a list --dry-run printf '%s|' x=y {}
    sh "$out" >run
    holds cmp run expected
    map -0 -a list --dry-run --shell 'printf "%s|" {} "$1"'
    sh "$out" >run
    map -k -0 -a list --shell 'printf "%s|" {} "$1"'
    holds cmp run "$out"
    # Nothing is run and nothing is written; but what is done is left out.
    map --dry-run --log log sh -c ': >ran' ::: a
    [ ! -e log ] && [ ! -e ran ] || complain "it did something"
    map --log log echo ::: a b
    cp log before
    map --dry-run --log log --resume echo ::: a b 'c d'
    is "$(cat "$out")" "echo 'c d'"
    holds cmp log before
    map --dry-run echo {%} {#} ::: x y
    is "$(cat "$out")" "echo 1 1
echo 1 2"
    map --dry-run 'a=b c' ::: x
    is "$(cat "$out")" "'a=b c' x"
    yes | "$motet" map --dry-run echo | head -n 2 >"$out"
    is "$(cat "$out")" "echo y
echo y"
    "$motet" map --dry-run echo ::: a >/dev/full 2>"$err"
    is $? 2
    cd / || exit 1
}

run arguments
run lines_of_standard_input
run lines_of_a_pipe
run items_are_run_as_they_come
run a_file
run nul_separated
run no_items
run the_command_s_own_options
run placeholders
run other_braces_stay
run the_item_is_the_command
run no_shell
run an_item_too_long_or_with_a_nul_fails_alone
run the_longest_item
run jobs_read_nothing_of_ours
run slots
run numbers_in_the_environment
run columns
run shell
run dry_run
finish
