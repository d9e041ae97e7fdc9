# Sourced by quickstart.sh and test.sh: makes .venv and installs scanseg with the exact versions of constraints.txt.

# environment EXTRAS: EXTRAS is empty or, for example, [test]. Leaves the paths in $python.
environment() {
    local extras=$1
    python=.venv/bin/python
    if [ ! -x "$python" ]; then
        echo "Making .venv"
        # Debian without python3-venv has no ensurepip: pip itself then fills the new environment.
        python3 -m venv .venv >/dev/null 2>&1 ||
            { python3 -m venv --clear --without-pip .venv && python3 -m pip --python .venv install --quiet pip; }
    fi
    local stamp=.venv/installed$extras
    local wanted
    wanted=$(cat pyproject.toml constraints.txt | cksum)
    if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
        echo "Installing scanseg$extras (a few minutes the first time)"
        "$python" -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".$extras"
        echo "$wanted" >"$stamp"
    fi
}
