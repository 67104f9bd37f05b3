#!/bin/sh
# Stands in for ssh, for the launchers of MPI libraries: agent.sh [-OPTION]... ADDRESS COMMAND...
# The host with the address A.B.C.(i + 1) is the namespace peer<i>.
while [ "${1#-}" != "$1" ]; do shift; done
host=$1
shift
exec ip netns exec "peer$((${host##*.} - 1))" sh -c "$*"
