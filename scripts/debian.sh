# Sourced by the scripts that take files out of Debian's packages without installing them.

# say WORDS...: a message that names the script it comes from.
say() { echo "${0##*/}: $*" >&2; }

# die WORDS...: the message, then failure.
die() {
  say "$@"
  exit 1
}

# need_debian: refuses early, with what to do, where packages cannot be unpacked.
need_debian() {
  local tool
  for tool in apt-get dpkg-deb; do
    command -v "$tool" >/dev/null || die "$tool is missing: this needs Debian or Ubuntu. $*"
  done
}

# as_root COMMAND...: with sudo where the caller is not root.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    say "not root and there is no sudo, so this was not run: $*"
    return 1
  fi
}

# update_lists: apt's package lists, at most once a script; a source that fails does not stop the others.
update_lists() {
  [ -z "${lists_updated:-}" ] || return 0
  lists_updated=yes
  as_root timeout 180 apt-get update >/dev/null 2>&1 || say "apt-get update failed; going on with the lists there are"
}

# fetch PACKAGE DIRECTORY: prints the path of the package's file, downloaded whole. One cut short is fetched anew.
fetch() {
  local package=$1 directory=$2 file
  mkdir -p "$directory"
  for file in "$directory/$package"_*.deb; do
    if [ -e "$file" ]; then
      if dpkg-deb --fsys-tarfile "$file" >/dev/null 2>&1; then
        echo "$file"
        return 0
      fi
      rm -f "$file"
    fi
  done
  local attempt
  for attempt in 1 2; do
    # Into a directory of its own first: a download that is cut short is never taken for a whole one.
    rm -rf "$directory/partial-$package"
    mkdir -p "$directory/partial-$package"
    if (cd "$directory/partial-$package" && timeout 300 apt-get download "$package" >/dev/null 2>&1) &&
      dpkg-deb --fsys-tarfile "$directory/partial-$package/$package"_*.deb >/dev/null 2>&1; then
      mv "$directory/partial-$package/$package"_*.deb "$directory/"
      rmdir "$directory/partial-$package"
      echo "$directory/$package"_*.deb
      return 0
    fi
    rm -rf "$directory/partial-$package"
    [ "$attempt" = 2 ] || update_lists
  done
  die "Debian's package $package could not be downloaded; check the network, then run: apt-get update"
}
