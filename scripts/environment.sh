# Sourced by quickstart.sh, test.sh and label_server.sh, in the repository's root: makes an environment and installs
# scanseg into it with exact versions.

# environment EXTRAS [FOLDER CONSTRAINTS PACKAGE …]: EXTRAS is empty or, for example, [test]; FOLDER is .venv and
# CONSTRAINTS constraints.txt where they are not given. The packages after them are installed without what they ask for.
# Leaves the path of Python in $python. Fails where something cannot be installed, also where set -e does not act.
environment() {
    local extras=$1 folder=${2:-.venv} constraints=${3:-constraints.txt}
    local packages=("${@:4}")
    python=$folder/bin/python
    if [ ! -x "$python" ]; then
        echo "Making $folder"
        # Debian without python3-venv has no ensurepip: pip itself then fills the new environment.
        python3 -m venv "$folder" >/dev/null 2>&1 ||
            { python3 -m venv --clear --without-pip "$folder" && python3 -m pip --python "$folder" install --quiet pip; } ||
            return
    fi
    local stamp=$folder/installed$extras
    local wanted
    wanted=$(echo "${packages[@]}" | cat pyproject.toml setup.py "$constraints" - | cksum)
    if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
        echo "Installing scanseg$extras${packages[*]:+ ${packages[*]}} (a few minutes the first time)"
        local install=("$python" -m pip install --quiet --disable-pip-version-check -c "$constraints")
        "${install[@]}" -e ".$extras" || return
        [ ${#packages[@]} -eq 0 ] || "${install[@]}" --no-deps "${packages[@]}" || return
        echo "$wanted" >"$stamp"
    fi
}

# label_environment [FOLDER]: the environment of MONAI Label, .venv-label where FOLDER is not given. What MONAI Label asks
# for cannot be installed beside numpy 2 (pins of pydicom-seg and numpymaxflow): the extra "label" has what it needs.
label_environment() {
    environment "[label]" "${1:-.venv-label}" constraints-label.txt monailabel pydicom-seg girder-client
}
