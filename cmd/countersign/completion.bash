# bash completion of countersign: eval "$(countersign completion bash)"
_countersign() {
	local line word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD - 1]}"
	COMPREPLY=()
	while IFS= read -r line; do
		line="${line%%$'\t'*}"
		if [[ $line == :files ]]; then
			compopt -o default
			return
		fi
		# Readline splits words at "=", so it expects only the value of --flag=value.
		[[ $word == '=' || $before == '=' ]] && line="${line#*=}"
		COMPREPLY+=("$line")
	done < <("${COMP_WORDS[0]}" __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _countersign countersign
