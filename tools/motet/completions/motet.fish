# Completion of motet in fish.

# Whether the command of `motet map` is still to come.
function __motet_in_options
    set -l words (commandline -opc)
    test (count $words) -ge 2; and test $words[2] = map; or return 1
    set -l skip 0
    for word in $words[3..-1]
        if test $skip = 1
            set skip 0
            continue
        end
        switch $word
            case -j -a --colsep --delay --fail --load --log --min-free --report --retry --retry-delay --timeout
                set skip 1
            case '-*'
            case '*'
                return 1
        end
    end
end

complete -c motet -n 'test (count (commandline -opc)) = 1' -f -a map -d 'Run a command for each of many items'
complete -c motet -n 'test (count (commandline -opc)) = 1' -f -a help -d 'Show how to use it'
complete -c motet -n 'test (count (commandline -opc)) = 1' -f -l version -d 'Show the version'
complete -c motet -n 'test (count (commandline -opc)) = 1' -f -l help -d 'Show how to use it'
complete -c motet -n __motet_in_options -a '(__fish_complete_command)'
complete -c motet -n __motet_in_options -s j -x -d 'Jobs at a time'
complete -c motet -n __motet_in_options -s k -d 'Outputs in the order of the items'
complete -c motet -n __motet_in_options -s a -r -F -d 'Read the items from a file'
complete -c motet -n __motet_in_options -s 0 -d 'Items end with a NUL'
complete -c motet -n __motet_in_options -l timeout -x -d 'End a job that takes longer, in seconds'
complete -c motet -n __motet_in_options -l retry -x -d 'Try a job that failed again, up to N times'
complete -c motet -n __motet_in_options -l retry-delay -x -d 'Seconds before the second attempt'
complete -c motet -n __motet_in_options -l fail -x -a 'now soon never' -d 'How many failures are enough'
complete -c motet -n __motet_in_options -l delay -x -d 'Seconds between the starts of two jobs'
complete -c motet -n __motet_in_options -l load -x -d 'Start none beside others while so many are busy'
complete -c motet -n __motet_in_options -l min-free -x -d 'Start none while less memory is free'
complete -c motet -n __motet_in_options -l line -d 'Write lines as they come'
complete -c motet -n __motet_in_options -l raw -d 'Let the jobs write themselves'
complete -c motet -n __motet_in_options -l tag -d 'Begin each line with the item'
complete -c motet -n __motet_in_options -l colsep -x -d 'Split items into columns'
complete -c motet -n __motet_in_options -l shell -d 'CMD is a line for sh'
complete -c motet -n __motet_in_options -l dry-run -d 'Print the commands, run nothing'
complete -c motet -n __motet_in_options -l log -r -F -d 'Add a line about each job to a file'
complete -c motet -n __motet_in_options -l resume -d 'Leave out what is done according to the log'
complete -c motet -n __motet_in_options -l report -r -F -d 'Write a page about the run'
complete -c motet -n __motet_in_options -l progress -d 'Show how far it is'
complete -c motet -n __motet_in_options -s h -l help -d 'Show how to use it'
