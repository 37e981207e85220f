# Completion for scalectl(1) in bash. Verbs, options and the words that they take are asked of the program, ids of
# the daemons; nobody waits longer than a second for those.

# Ids become words of the shell, so nothing but plain ones is let through.
_scalectl_first_column()
{
    timeout 1 "$@" 2>/dev/null | awk 'NR > 1 && NR <= 51 && $1 ~ /^[A-Za-z0-9_-]+$/ { print $1 }'
}

# _scalectl_words PROGRAM WORDS CURRENT [GLOBAL OPTION...]: sets COMPREPLY.
_scalectl_words()
{
    local program=$1 words=$2 cur=$3
    shift 3
    case $words in
    @files)
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        return ;;
    @folders)
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -d -- "$cur")
        return ;;
    @commands)
        mapfile -t COMPREPLY < <(compgen -c -- "$cur")
        return ;;
    @tasks) words=$(_scalectl_first_column "$program" "$@" tasks -n 50) ;;
    @pending)
        words=$(_scalectl_first_column "$program" "$@" tasks --status pending -n 50
                _scalectl_first_column "$program" "$@" queue list -n 50) ;;
    @quarantine) words=$(_scalectl_first_column "$program" "$@" quarantine list -n 50) ;;
    @submissions) words=$(_scalectl_first_column "$program" "$@" queue list -n 50) ;;
    @*) words= ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}

_scalectl()
{
    local program=$1 cur option= verb= first= i
    local -a line=() global=()
    local -A takes=() words=()
    local name argument list

    # The shell splits words at "=" and ":": put them together again.
    for ((i = 0; i <= COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        [=:]*) if ((${#line[@]} > 1)); then line[-1]+=${COMP_WORDS[i]}; else line+=("${COMP_WORDS[i]}"); fi ;;
        *)  if ((${#line[@]} > 1)) && [[ ${line[-1]} == *[=:] && ${COMP_WORDS[i - 1]} == *[=:] ]]; then
                line[-1]+=${COMP_WORDS[i]}
            else
                line+=("${COMP_WORDS[i]}")
            fi ;;
        esac
    done
    cur=${line[-1]}
    COMPREPLY=()

    # Options before the verb, which the daemons are asked with, too.
    for ((i = 1; i < ${#line[@]} - 1; i++)); do
        case ${line[i]} in
        -o | --option | --config)
            global+=("${line[i]}")
            option=${line[i]}
            ((i + 1 < ${#line[@]} - 1)) || continue
            option=
            global+=("${line[++i]}") ;;
        --option=* | --config=* | -o*) global+=("${line[i]}") ;;
        --json | --utc) ;;
        *)
            verb=${line[i]}
            ((i++))
            break ;;
        esac
    done
    if [[ -z $verb ]]; then
        case $option,$cur in
        --config,*) _scalectl_words "$program" @files "$cur" ;;
        -o,* | --option,*) ;;
        ,--config=*) _scalectl_words "$program" @files "${cur#*=}" ;;
        ,-*) _scalectl_words "$program" "--json --utc --config --option -o --version --help -h" "$cur" ;;
        *) _scalectl_words "$program" "$("$program" words 2>/dev/null | cut -f 1)" "$cur" ;;
        esac
        return
    fi

    # Not IFS=tab, of which several would be one.
    while IFS= read -r list; do
        name=${list%%$'\t'*} list=${list#*$'\t'}
        argument=${list%%$'\t'*} list=${list#*$'\t'}
        takes[$name]=$argument
        words[$name]=${list%%$'\t'*}
    done < <("$program" words "$verb" 2>/dev/null)

    option=
    local -i n=0
    for (( ; i < ${#line[@]} - 1; i++)); do
        option=
        if [[ ${line[i]} == -?* ]]; then
            [[ -z ${takes[${line[i]}]-} ]] && continue
            option=${line[i]}
            ((i++))
        else
            ((n++ == 0)) && first=${line[i]}
        fi
    done
    # The value of the last option is still to come only when it was the last word before this one.
    ((i == ${#line[@]} - 1)) && option=

    if [[ -n $option ]]; then
        _scalectl_words "$program" "${words[$option]}" "$cur" "${global[@]}"
    elif [[ $cur == --*=* ]]; then
        _scalectl_words "$program" "${words[${cur%%=*}]-}" "${cur#*=}" "${global[@]}"
    elif [[ $cur == -* ]]; then
        _scalectl_words "$program" "${!takes[*]}" "$cur"
        local -a options=()
        for name in "${COMPREPLY[@]}"; do
            [[ $name == -* ]] && options+=("$name")
        done
        COMPREPLY=("${options[@]}")
    elif ((n == 0)); then
        _scalectl_words "$program" "${words[1]-}" "$cur" "${global[@]}"
    else
        case $first in
        list | hold | resume | flush) ;;
        *) _scalectl_words "$program" "${words[+]-}" "$cur" "${global[@]}" ;;
        esac
    fi
} && complete -F _scalectl scalectl
