#!/bin/bash
# The completions of the shells know every option of `motet map`, and complete what they should.
cd "$(dirname "$0")/.." || exit 1
. tests/verdict.sh
motet=${MOTET_BIN:?the path of the motet command}
folder=tools/motet/completions

# The options that the help tells of.
"$motet" map --help | sed -n 's/^  \(-[^ ,]*\) .*/\1/p; s/^  -h, \(--help\).*/\1/p' | sort -u >"$scratch/options"
is "the options of the help" yes "$([ "$(wc -l <"$scratch/options")" -ge 20 ] && echo yes)"
while read -r option; do
    grep -qE -- "(^|[[:space:]])$option([[:space:]]|$)" $folder/motet.bash || echo "$option" >>"$scratch/found"
    grep -qE -- "$option[+=[]|,$option}" $folder/_motet || echo "zsh: $option" >>"$scratch/found"
    case $option in
    --*) grep -q -- " -l ${option#--} " $folder/motet.fish ;;
    -*) grep -q -- " -s ${option#-} " $folder/motet.fish ;;
    esac || echo "fish: $option" >>"$scratch/found"
    verdict "$option is known"
done <"$scratch/options"

# What bash offers for a line, whose last word is being typed.
offers()
{
    bash --norc -c '
        . "$1"
        shift
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        _motet
        printf "%s\n" "${COMPREPLY[@]}"' bash $folder/motet.bash "$@" | sort | tr '\n' ' '
}

is "bash: all options and no others" "$(sort "$scratch/options" | tr '\n' ' ')" "$(offers motet map -)"
is "bash: commands" "--help --version help map " "$(offers motet '')"
is "bash: map" "map " "$(offers motet m)"
is "bash: help" "map " "$(offers motet help '')"
is "bash: options" "--retry --retry-delay " "$(offers motet map -k --ret)"
is "bash: options after a value" "--shell " "$(offers motet map -j 4 --log x --sh)"
is "bash: an option after --log=FILE" "--shell " "$(offers motet map --log = x --sh)"
is "bash: no options of ours after the command" " " "$(offers motet map echo --ret)"
is "bash: when failures are enough" "never now " "$(offers motet map --fail n)"
is "bash: no number is guessed" " " "$(offers motet map -j '')"
has "bash: files" "README.md " "$(offers motet map --log READ)"
has "bash: files as arguments" "README.md " "$(offers motet map cat ::: READ)"
has "bash: commands to run" "printf " "$(offers motet map -k print)"
is "bash: nothing else" " " "$(offers motet mop '')"

sed -n 's/^ *.*[^-a-z]\(-[-a-z0]*\)[]+=[}].*/\1/p' $folder/_motet | sort -u | grep -vxF -f "$scratch/options" >"$scratch/found"
verdict "zsh: no others"
if command -v zsh >/dev/null; then
    try "zsh: it can be read" zsh -n $folder/_motet
    try "zsh: it loads" zsh -fc 'fpath=($PWD/tools/motet/completions $fpath); autoload -Uz compinit && compinit -D -u &&
        [[ $_comps[motet] = _motet ]]'
    # A shell on a terminal of its own, in which `motet` writes down what it was given: the line is typed, then a tab,
    # then Enter.
    cat >"$scratch/type.zsh" <<'END'
zmodload zsh/zpty
zpty shell zsh -fi
until_there()
{
    until [[ -e $1 ]]; do zpty -rt shell seen && print -r -- $seen || sleep 0.02; done
}
zpty -w shell "fpath=($PWD/tools/motet/completions \$fpath); autoload -Uz compinit; compinit -D -u"
zpty -w shell "motet() { print -r -- \"\$*\" >$2/part; mv $2/part $2/given }; : >$2/ready"
until_there $2/ready
zpty -wn shell $1$'\t\n'
until_there $2/given
zpty -d shell
END
    zsh_completes()
    {
        rm -f "$scratch/given" "$scratch/ready"
        timeout 60 zsh -f "$scratch/type.zsh" "$1" "$scratch" </dev/null >"$scratch/zsh" 2>&1
        cat "$scratch/given" 2>/dev/null || cat "$scratch/zsh"
    }
    is "zsh: commands" "map" "$(zsh_completes 'motet m')"
    is "zsh: options" "map -k --resume" "$(zsh_completes 'motet map -k --resu')"
    is "zsh: options after a value" "map -j 4 --resume" "$(zsh_completes 'motet map -j 4 --resu')"
    is "zsh: no options of ours after the command" "map echo --resu" "$(zsh_completes 'motet map echo --resu')"
    is "zsh: when failures are enough" "map --fail soon" "$(zsh_completes 'motet map --fail so')"
    is "zsh: files" "map --log README.md" "$(zsh_completes 'motet map --log READ')"
    is "zsh: commands to run" "map -k sha256sum" "$(zsh_completes 'motet map -k sha256s')"
fi
if command -v fish >/dev/null; then
    fish_offers()
    {
        HOME=$scratch XDG_CONFIG_HOME=$scratch fish --no-config -c "source $folder/motet.fish; complete -C '$1'" |
            cut -f 1 | sort | tr '\n' ' '
    }
    is "fish: all options and no others" "$(sort "$scratch/options" | tr '\n' ' ')" \
        "$(fish_offers 'motet map -' | sed 's/-h //')"
    is "fish: options" "--retry --retry-delay " "$(fish_offers 'motet map -k --ret')"
    is "fish: no options of ours after the command" " " " $(fish_offers 'motet map -j 2 echo --ret')"
    has "fish: commands" "map " "$(fish_offers 'motet ')"
    has "fish: when failures are enough" "never now soon " "$(fish_offers 'motet map --fail ')"
fi
tally
