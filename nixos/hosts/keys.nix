# Whose systems these machines take: public keys, one line for each person or build server that signs. Make one with
#
#     ./deploy.sh key new FILE
#
# which writes the secret to FILE, outside of this repository, and prints the line that belongs here. The list is empty
# until somebody answers for these machines; until then they take no update, and every evaluation says so.
[ ]
