# fish completion of countersign: countersign completion fish | source
function __countersign_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l found ($words[1] __complete -- $words[2..-1] 2>/dev/null)
    if test "$found" = :files
        set -l word (commandline -ct)
        set -l prefix (string match -r -- '^--[^=]*=' $word)
        for path in (__fish_complete_path (string replace -r -- '^--[^=]*=' '' $word))
            echo "$prefix$path"
        end
        return
    end
    string join \n -- $found
end
complete -c countersign -f -a '(__countersign_complete)'
