# Completion of motet in bash.

# The words of `motet map` up to the cursor, from the second on: whether they end before the command.
_motet_in_options()
{
    local i=2
    while ((i < COMP_CWORD)); do
        # Bash takes --log=FILE apart at the '='.
        if [[ ${COMP_WORDS[i + 1]} = "=" ]]; then
            ((i += 3))
            continue
        fi
        case ${COMP_WORDS[i]} in
        --) return 1 ;;
        -[ja] | --colsep | --delay | --fail | --load | --log | --min-free | --report | --retry | --retry-delay | --timeout)
            ((i++)) ;;
        -*) ;;
        *) return 1 ;;
        esac
        ((i++))
    done
    ((i == COMP_CWORD))
}

_motet()
{
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
    local options="-j -k -a -0 --timeout --retry --retry-delay --fail --delay --load --min-free
        --line --raw --tag --colsep --shell --dry-run --log --resume --report --progress --help"

    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        mapfile -t COMPREPLY < <(compgen -W "map help --help --version" -- "$word")
        return
    fi
    case ${COMP_WORDS[1]} in
    help)
        mapfile -t COMPREPLY < <(compgen -W map -- "$word")
        return
        ;;
    map) ;;
    *) return ;;
    esac
    case $before in
    --fail)
        if ((COMP_CWORD > 2)); then
            mapfile -t COMPREPLY < <(compgen -W "now soon never" -- "$word")
            return
        fi
        ;;
    -a | --log | --report)
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        return
        ;;
    -j | --colsep | --delay | --load | --min-free | --retry | --retry-delay | --timeout) return ;;
    esac
    if _motet_in_options; then
        if [[ $word = -* ]]; then
            mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
        else
            mapfile -t COMPREPLY < <(compgen -c -- "$word")
        fi
    else
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
    fi
}

complete -F _motet motet
