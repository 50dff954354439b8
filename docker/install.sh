#!/bin/sh
# The steps by which every image, and docker/prove.py, fill an environment. Versions and hashes are those of requirements.lock.
#
#   install.sh environment TARGET              a fresh, empty one
#   install.sh third-party GROUP[,GROUP] TARGET   what pyproject.toml names for these groups, and nothing else
#   install.sh more FILE TARGET                further exact versions, on top
#   install.sh roost TARGET                    Roost itself, without asking for anything more
#   install.sh messages TARGET                 TensorFlow's protobuf messages, without its binaries
set -eu

case "$1" in
  environment)
    uv venv --quiet --python "${PYTHON:-python3}" "$2"
    ;;
  third-party)
    extras=""
    for group in $(echo "$2" | tr ',' ' '); do extras="$extras --extra $group"; done
    # shellcheck disable=SC2086 # one word an option
    uv pip install --quiet --python "$3" --constraint requirements.lock --requirement pyproject.toml $extras
    ;;
  more)
    uv pip install --quiet --python "$3" --requirement "$2"
    ;;
  roost)
    uv build --quiet --wheel --build-constraints requirements.lock --out-dir "$2/.wheel" .
    uv pip install --quiet --python "$2" --no-deps "$2"/.wheel/roost-*.whl
    rm -r "$2/.wheel"
    ;;
  messages)
    # Two packages without what they need: their modules are copied, never run.
    scratch=$(mktemp -d)
    uv venv --quiet --python "${PYTHON:-python3}" "$scratch/venv"
    grep -E '^(tensorflow|tensorflow-serving-api)==' requirements.lock | sed 's/ *\\$//; s/ *;.*//' > "$scratch/two.txt"
    uv pip install --quiet --python "$scratch/venv" --no-deps --requirement "$scratch/two.txt"
    "$scratch/venv/bin/python" docker/extract_messages.py "$("$scratch/venv/bin/python" -c 'import site; print(site.getsitepackages()[0])')" "$2"
    rm -r "$scratch"
    ;;
  *)
    echo "install.sh: unknown step $1" >&2
    exit 2
    ;;
esac
