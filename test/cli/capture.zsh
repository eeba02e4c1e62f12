# What zsh offers at the end of command lines: zsh -f capture.zsh SCRIPT LINE... An interactive shell on a pseudo
# terminal completes each line; what its completion adds is printed between marks.
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "PROMPT= RPROMPT=; unsetopt prompt_cr prompt_sp; autoload -Uz compinit; compinit -D -u; source $1; compdef _alcove alcove"
zpty -w shell 'compadd() { local -a found; builtin compadd -A found "$@"; (( $#found )) && print -rl -- $found; builtin compadd "$@" }'
zpty -w shell 'captured() { print -r -- "<<<"; _main_complete; print -r -- ">>>"; compstate[insert]=; compstate[list]= }; zle -C captured complete-word captured; bindkey "^I" captured; print -r -- re""ady'
while zpty -r shell out; do [[ $out == *ready* ]] && break; done
for line in "${@[2,-1]}"; do
  zpty -w -n shell "$line"$'\t'
  text=
  while zpty -r shell out; do text+=$out; [[ $out == *'>>>'* ]] && break; done
  print -r -- "== $line"
  print -r -- "$text" | tr -d '\r' | sed -n '/<<</,/>>>/{/<<<\|>>>/d;p}'
  zpty -w -n shell $'\x15'
done
zpty -d shell
