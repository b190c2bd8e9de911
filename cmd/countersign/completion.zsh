#compdef countersign
# zsh completion of countersign: source <(countersign completion zsh)
_countersign() {
	local line
	local -a words_found shown
	for line in "${(@f)$("${words[1]}" __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
		[[ -z $line ]] && continue
		if [[ $line == :files ]]; then
			# The value of --flag=FILE begins after the "=".
			[[ $PREFIX == --*=* ]] && compset -P '*='
			_files
			return
		fi
		words_found+=("${line%%$'\t'*}")
		shown+=("${line/$'\t'/  -- }")
	done
	(( $#words_found )) && compadd -l -d shown -- "${words_found[@]}"
}
(( $+functions[compdef] )) && compdef _countersign countersign
# An autoloaded file on fpath is the function body, and runs for the first completion.
if [[ ${funcstack[1]} == _countersign ]]; then
	_countersign "$@"
fi
